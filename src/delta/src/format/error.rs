//! How writing and reading a delta file can fail.

use bootstash_base::error::{Classified, ErrorClass};
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Making a delta file failed; nothing of it is left.
#[derive(Debug, Error)]
pub enum DeltaWriteError {
    /// The ZFS stream broke off.
    #[error("the ZFS stream for {} broke off", .path.display())]
    Stream {
        /// The file that was to be.
        path: PathBuf,
        /// What the stream said.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write {}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Classified for DeltaWriteError {
    fn kind(&self) -> ErrorClass {
        match self {
            Self::Stream { .. } => ErrorClass::Transient,
            Self::Io { .. } => ErrorClass::Operator,
        }
    }
}

/// A delta file cannot be used.
#[derive(Debug, Error)]
pub enum DeltaReadError {
    /// The file cannot be read.
    #[error("cannot read {}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no delta, or its header is damaged.
    #[error("{} is no delta file: {problem}", .path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// It is not the file that was announced.
    #[error("{} is damaged: it has {what} {got}, announced was {wanted}", .path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// Size or digest.
        what: &'static str,
        /// As found.
        got: String,
        /// As announced.
        wanted: String,
    },
}

impl Classified for DeltaReadError {
    fn kind(&self) -> ErrorClass {
        match self {
            Self::Io { .. } => ErrorClass::Operator,
            Self::Header { .. } | Self::Mismatch { .. } => ErrorClass::Permanent,
        }
    }
}
