//! Disk images: which format a file has and whether it is what it claims, boot caches as qcow2 files, and an NBD server
//! that lets QEMU read a base and traces what it reads.
//!
//! Promises: every image is hostile. What a header names is read, never opened; all that is read is bounded.

mod base;
pub mod firmware;
pub mod formats;
mod image_format;
pub mod iso9660;
pub mod nbd;
pub mod qcow2;
mod url;

pub use base::{BaseIdentity, BaseReadError, Source};
pub use image_format::ImageFormat;
pub use url::{UrlError, refuse_url};
