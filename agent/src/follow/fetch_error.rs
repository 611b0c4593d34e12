//! Why a delta file could not be fetched.

use bootstash_base::error::Classified;
use bootstash_delta::DeltaReadError;
use bootstash_net::api::CallError;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// A delta could not be fetched.
#[derive(Debug, Error, Classified)]
pub enum FetchError {
    /// What the registrar announced cannot be.
    #[error(
        "the registrar announced a delta file {file:?} with digest {digest:?}, which are not a valid file name and digest"
    )]
    #[class(permanent)]
    Announcement {
        /// What it calls the file.
        file: String,
        /// What it says is the file's digest.
        digest: String,
    },
    /// The registrar does not answer, or refuses.
    #[error(transparent)]
    #[class(source)]
    Call(#[from] CallError),
    /// The download broke off; what came is kept.
    #[error("the download of {file} broke off at {at_bytes} of {bytes} bytes")]
    #[class(transient)]
    Broken {
        /// As the registrar calls it.
        file: String,
        /// How much of it is here.
        at_bytes: u64,
        /// Its announced length.
        bytes: u64,
        /// What broke; none where the sender just ended, or stalled.
        source: Option<reqwest::Error>,
    },
    /// The registrar redirects, although it was asked not to.
    #[error("the registrar redirects to {location}, although it was asked to send the file itself")]
    #[class(transient)]
    Redirected {
        /// The URL it redirects to.
        location: String,
    },
    /// The file cannot be written here.
    #[error("cannot write {}", .path.display())]
    #[class(operator)]
    Io {
        /// Its path on this node.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is not what was announced.
    #[error(
        "what the registrar sent as {file} is not what it announced; it was told, and makes the file anew if that is \
         damaged there; if it stays so, look at the network and this node's disk and memory"
    )]
    #[class(source)]
    Damaged {
        /// As the registrar calls it.
        file: String,
        /// How it differs.
        source: DeltaReadError,
    },
}
