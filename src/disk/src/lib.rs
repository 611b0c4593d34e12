//! Disk images: which format a file has and whether it is what it claims, boot caches as qcow2 files, and an NBD server
//! that lets QEMU read a base and traces what it reads.
//!
//! Promises: every image is hostile. What a header names is read, never opened; all that is read is bounded.

mod base;
pub mod foreign;
pub mod formats;
mod image_format;
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
