//! A read-only NBD export on a Unix socket, and what is read through it.
//!
//! Promises: nothing can be written; what a client has in flight is bounded, in requests and in bytes; an export ends with
//! its handle, and all reads with it. The crate `nbd` does not serve here: it blocks, knows neither INFO nor GO, and shows no
//! single request.
//!
//! [`Export`] listens, `session` is one connection, `transmission` its requests, `buffers` their bound; `protocol` knows the
//! bytes and does no I/O; [`ReadTrace`] notes what is read of the [`BlockSource`].

mod buffers;
mod disk_image;
mod export;
mod extents;
mod protocol;
mod session;
mod source;
mod trace;
mod transmission;

pub use disk_image::{DiskImage, OpenImageError};
pub use export::{Export, ExportError};
pub use extents::{Extent, ExtentKind};
pub use source::{BlockSource, FailingSource};
pub use trace::{ReadTrace, TraceView};
