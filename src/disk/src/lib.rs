//! Disk images: which format a file has and whether it is what it claims, boot caches as qcow2 files, and an NBD server
//! that lets QEMU read a base and traces what it reads.
//!
//! Usable without the rest of bootstash: of that it needs the classes of errors. Running: `examples/header.rs`
//! inspects a qcow2 file, `examples/serve.rs` exports one over NBD.
//!
//! # Map
//!
//! | module or type | what for |
//! |---|---|
//! | [`formats`], [`ImageFormat`] | which format a file has, by its own bytes: QEMU is told, and never searches |
//! | [`Source`], [`BaseIdentity`] | where an image's bytes live, and whether they are still those that were registered |
//! | [`qcow2::header`], [`qcow2::inspect`] | a qcow2 header as it stands there, and whether to go on with it |
//! | [`qcow2::read_backing`] | what an overlay is chained onto |
//! | [`qcow2::Layout`], [`qcow2::write()`] | a boot cache as a file: metadata in front, data in guest order |
//! | [`qcow2::CacheFile`] | a boot cache that exists: which clusters it holds, and their bytes |
//! | [`nbd::Export`] | a read-only export on a Unix socket, of any [`nbd::BlockSource`] |
//! | [`nbd::DiskImage`] | a raw or qcow2 image as such a source |
//! | [`nbd::ReadTrace`] | which clusters were read through an export, in the order of first reads |
//! | [`refuse_url`] | a URL where a file is needed, with the remedy |
//!
//! # Promises
//!
//! - Every image is hostile. What a header names is read, never opened; all that is read is bounded.
//! - Equal sets of clusters of equal content give equal cache files: that is what deduplicates.
//! - Nothing can be written through an export; its end is that of its handle, and ends all reads with it.
//! - What blocks says so. An export reads its image on threads that may block, a bounded number of them.

mod base;
pub mod firmware;
pub mod foreign;
pub mod formats;
mod image_format;
pub mod iso9660;
pub mod nbd;
pub mod qcow2;
mod raw_file;
mod url;

pub use base::{
    BLOCK_BYTES, BaseChange, BaseIdentity, BaseReadError, ContentDigest, ContentHasher, FileStamp,
    MOST_SAMPLES, Sample, Source,
};
pub use image_format::ImageFormat;
pub use url::{UrlError, refuse_url};
