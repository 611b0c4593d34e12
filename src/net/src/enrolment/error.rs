//! Why somebody did not become a member, or may not stay one.

use crate::api::{CallError, UrlProblem};
use crate::identity::{IdentityError, TokenError};
use bootstash_base::error::{Classified, ErrorClass};

/// Joining failed; nothing was changed here.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The URL.
    #[error("cannot join {url:?}")]
    Url {
        /// As given.
        url: String,
        /// Why not.
        source: UrlProblem,
    },
    /// The token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The token cannot be read.
    #[error("cannot read the token from standard input")]
    Read(#[source] std::io::Error),
    /// The registrar does not answer, is another than the one that made the token, or refuses.
    #[error("cannot join the registrar at {url}")]
    Call {
        /// Where it was asked.
        url: String,
        /// Why.
        source: CallError,
    },
    /// What came, or what is here, is no good.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl Classified for JoinError {
    fn kind(&self) -> ErrorClass {
        match self {
            Self::Url { .. } | Self::Token(_) => ErrorClass::Permanent,
            Self::Call { source, .. } => source.kind(),
            Self::Read(_) => ErrorClass::Operator,
            Self::Identity(error) => error.kind(),
        }
    }
}

/// A certificate was not renewed; the one that is here still counts until its end.
#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    /// The registrar does not answer, or refuses.
    #[error("the registrar gave no new certificate")]
    Call(#[from] CallError),
    /// What came, or what is here, is no good.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl Classified for RenewError {
    fn kind(&self) -> ErrorClass {
        match self {
            Self::Call(error) => error.kind(),
            Self::Identity(error) => error.kind(),
        }
    }
}
