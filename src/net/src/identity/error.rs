//! Why an identity could not be made, read or believed.

use super::IdentityParseError;
use bootstash_base::error::Classified;
use std::path::PathBuf;

/// An identity, its key or its certificate is no good.
#[derive(Debug, thiserror::Error, Classified)]
#[class(operator)]
pub enum IdentityError {
    /// There is none yet.
    #[error("there is no identity in {}", .dir.display())]
    Missing {
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// A file of it cannot be read or written.
    #[error("cannot use {}", .path.display())]
    Io {
        /// The file of a key or certificate.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file of it holds something else.
    #[error("{} is damaged; put it back from a backup, or join anew", .path.display())]
    Damaged {
        /// The file of a key or certificate.
        path: PathBuf,
        /// What the parser said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Others may read a private key.
    #[error("{} can be read by others than its owner; if it was, expel who it belongs to, else chmod 600 it", .path.display())]
    Exposed {
        /// The file of a key or certificate.
        path: PathBuf,
    },
    /// Key, certificate and authority are not each other's.
    #[error("what the registrar sent does not fit our key; nothing was changed, ask for a new token")]
    Mismatch(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A certificate is none of ours.
    #[error("the certificate is not one of bootstash")]
    #[class(permanent)]
    Foreign,
    /// Its name is none of ours.
    #[error("the certificate names nobody")]
    #[class(permanent)]
    Name(#[from] IdentityParseError),
    /// A request for a certificate is not well-formed, or not signed with its own key.
    #[error("this is no request for a certificate")]
    #[class(permanent)]
    Request(#[source] rcgen::Error),
    /// A certificate could not be made.
    #[error("cannot make a certificate")]
    Make(#[source] rcgen::Error),
    /// What TLS says.
    #[error("cannot set up TLS")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
}
