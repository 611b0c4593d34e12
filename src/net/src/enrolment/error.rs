//! Why somebody did not become a member, or may not stay one.

use crate::api::{CallError, UrlProblem};
use crate::identity::{IdentityError, TokenError};
use bootstash_base::error::Classified;

/// Joining failed; nothing was changed here.
#[derive(Debug, thiserror::Error, Classified)]
pub enum JoinError {
    /// The URL.
    #[error("cannot join {url:?}")]
    #[class(permanent)]
    Url {
        /// As given.
        url: String,
        /// Why not.
        source: UrlProblem,
    },
    /// The token.
    #[error(transparent)]
    #[class(permanent)]
    Token(#[from] TokenError),
    /// The token cannot be read.
    #[error("cannot read the token from standard input")]
    #[class(operator)]
    Read(#[source] std::io::Error),
    /// The registrar does not answer, is another than the one that made the token, or refuses.
    #[error("cannot join the registrar at {url}")]
    #[class(source)]
    Call {
        /// Where it was asked.
        url: String,
        /// How the call failed.
        source: CallError,
    },
    /// What came, or what is here, is no good.
    #[error(transparent)]
    #[class(source)]
    Identity(#[from] IdentityError),
}

/// A certificate was not renewed; the one that is here still counts until its end.
#[derive(Debug, thiserror::Error, Classified)]
pub enum RenewError {
    /// The registrar does not answer, or refuses.
    #[error("the registrar gave no new certificate")]
    #[class(source)]
    Call(#[from] CallError),
    /// What came, or what is here, is no good.
    #[error(transparent)]
    #[class(source)]
    Identity(#[from] IdentityError),
}
