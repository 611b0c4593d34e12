//! How writing and reading a delta file can fail.

use bootstash_base::error::Classified;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Making a delta file failed; nothing of it is left.
#[derive(Debug, Error, Classified)]
pub enum DeltaWriteError {
    /// The ZFS stream broke off.
    #[error("the ZFS stream for {} broke off", .path.display())]
    #[class(transient)]
    Stream {
        /// The file that was to be.
        path: PathBuf,
        /// What the stream said.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write {}", .path.display())]
    #[class(operator)]
    Io {
        /// The delta file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A delta file cannot be used.
#[derive(Debug, Error, Classified)]
pub enum DeltaReadError {
    /// The file cannot be read.
    #[error("cannot read {}", .path.display())]
    #[class(operator)]
    Io {
        /// The delta file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no delta, or its header is damaged.
    #[error("{} is no delta file: {problem}", .path.display())]
    #[class(permanent)]
    Header {
        /// The delta file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// It is not the file that was announced.
    #[error("{} is damaged: it has {what} {got}, announced was {wanted}", .path.display())]
    #[class(permanent)]
    Mismatch {
        /// The delta file.
        path: PathBuf,
        /// Size or digest.
        what: &'static str,
        /// As found.
        got: String,
        /// As announced.
        wanted: String,
    },
}
