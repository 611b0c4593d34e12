//! A snapshot difference as an immutable file, which any cache, peer or mirror can hold.
//!
//! The file is a header block of 4096 bytes and the ZFS stream, compressed:
//!
//! ```text
//! 0     8    magic "BSDELTA\n"
//! 8     4    length of the header's JSON, little endian
//! 12    n    the header, JSON
//! 4064  32   BLAKE3 of bytes 0..4064
//! 4096  …    the payload, encoded as the header says
//! ```
//!
//! Promises: a file under its final name is whole and on disk; [`verify`] passes only on the bytes
//! that were published (the announced digest covers the header, the header's the payload); reading and writing stream, whatever the size.

mod encoding;
mod error;
mod header;
mod read;
mod write;

pub use error::{DeltaReadError, DeltaWriteError};
pub use header::{Encoding, HEADER_BYTES, Header, SnapshotId};
pub use read::{open, read_header, verify};
pub use write::write;

use bootstash_base::names::Guid;

/// Ending of a delta's file name.
pub const EXTENSION: &str = "bsd";

/// The name of the file that leads `from` one snapshot (or from nothing) `to` another.
pub fn file_name(from: Option<Guid>, to: Guid) -> String {
    match from {
        Some(from) => format!("{from}-{to}.{EXTENSION}"),
        None => format!("full-{to}.{EXTENSION}"),
    }
}
