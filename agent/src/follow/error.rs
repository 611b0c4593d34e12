//! Why a round of following did not end in step.

use super::fetch_error::FetchError;
use crate::volume::{ApplyError, CatalogReadError};
use bootstash_base::error::{Classified, ErrorClass};
use bootstash_delta::replication::Conflict;
use bootstash_net::api::CallError;
use std::time::Duration;
use thiserror::Error;

/// A round did not end in step with the registrar.
#[derive(Debug, Error, Classified)]
pub enum FollowError {
    /// The registrar does not answer, or refuses.
    #[error(transparent)]
    #[class(source)]
    Registrar(#[from] CallError),
    /// The registrar is still writing the full stream.
    #[error("the registrar is preparing a full stream")]
    #[class(busy)]
    FullInPreparation,
    /// The registrar's stream does not say what it is.
    #[error(
        "the registrar sent a stream without the header {header}; are its and this agent's versions far apart?"
    )]
    #[class(operator)]
    Stream {
        /// The header.
        header: &'static str,
    },
    /// A delta could not be fetched.
    #[error(transparent)]
    #[class(with = class_of_fetch)]
    Fetch(#[from] FetchError),
    /// A delta could not be applied.
    #[error(transparent)]
    #[class(source)]
    Apply(#[from] ApplyError),
    /// The images could not be read.
    #[error(transparent)]
    #[class(source)]
    Catalog(#[from] CatalogReadError),
    /// The registrar has nothing, and this node has something.
    #[error(
        "{conflict}; nothing was changed: if the registrar lost its volume, bring that back (`bootstash volume \
         restore` there) before anything is registered; if it is meant to begin anew, register an image"
    )]
    #[class(operator)]
    Diverged {
        /// What does not agree.
        conflict: Conflict,
    },
}

impl FollowError {
    /// When to retry, where the registrar has enough to do.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Registrar(CallError::Busy { retry_after, .. })
            | Self::Fetch(FetchError::Call(CallError::Busy { retry_after, .. })) => Some(*retry_after),
            _ => None,
        }
    }

    /// Whether it is the registrar that does not answer.
    pub(super) fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Registrar(CallError::Unreachable { .. })
                | Self::Fetch(FetchError::Call(CallError::Unreachable { .. }) | FetchError::Broken { .. })
        )
    }
}

/// A delta that is gone was collected since the log was read; the next round reads a new one.
fn class_of_fetch(error: &FollowError) -> ErrorClass {
    match error {
        FollowError::Fetch(FetchError::Call(CallError::Refused { status: 404, .. })) => ErrorClass::Transient,
        FollowError::Fetch(error) => error.kind(),
        _ => ErrorClass::Operator,
    }
}
