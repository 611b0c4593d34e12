//! Why a registration is not taken, or not moved on.

use super::{IllegalTransition, JobId, StoreError};
use bootstash_base::error::Classified;
use bootstash_base::names::ImageName;
use std::fmt;
use std::path::{Path, PathBuf};

/// A registration could not be submitted.
#[derive(Debug, thiserror::Error, Classified)]
pub enum SubmitError {
    /// Another image is being registered under the name, or this one with another cache.
    #[error(
        "image {name} is being registered from {}{} right now (job {job}); wait for it, or choose another name",
        .source_path.display(), WithCache(.cache.as_deref())
    )]
    #[class(busy)]
    NameTaken {
        /// The name.
        name: ImageName,
        /// The job that has it.
        job: JobId,
        /// What that job registers.
        source_path: PathBuf,
        /// The cache it adopts.
        cache: Option<PathBuf>,
    },
    /// The record could not be written.
    #[error("cannot accept the registration")]
    #[class(operator)]
    Store(#[from] StoreError),
    /// The registrar stopped before the record was written.
    #[error("the registrar is stopping")]
    #[class(transient)]
    Stopping,
}

/// A job could not be moved on to its next state.
#[derive(Debug, thiserror::Error, Classified)]
pub enum AdvanceError {
    /// It was never submitted, or is forgotten.
    #[error("there is no job {job}")]
    #[class(permanent)]
    NoSuchJob {
        /// The number asked for.
        job: JobId,
    },
    /// A step reported something out of order.
    #[error("cannot move job {job} on")]
    #[class(permanent)]
    Illegal {
        /// The job.
        job: JobId,
        /// What does not follow from what.
        source: Box<IllegalTransition>,
    },
    /// The record could not be written.
    #[error("cannot move job {job} on")]
    #[class(operator)]
    Store {
        /// The job.
        job: JobId,
        /// What the disk said.
        source: StoreError,
    },
}

/// The cache that a registration adopts, as words to put behind its source.
struct WithCache<'a>(Option<&'a Path>);

impl fmt::Display for WithCache<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |cache| write!(f, " with the cache {}", cache.display()))
    }
}
