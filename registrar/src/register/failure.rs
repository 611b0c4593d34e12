//! Why a step failed, whatever the step.

use bootstash_base::error::{Chain, Classified, ErrorClass};
use std::error::Error;

/// A step's error, in the form that is kept with the job.
#[derive(Debug)]
pub struct StepFailure {
    /// What went wrong, with its causes.
    pub error: String,
    /// What may follow.
    pub kind: ErrorClass,
}

impl StepFailure {
    /// A failure nobody foresaw, in a step that should not be able to fail.
    pub fn internal(error: &(dyn Error + 'static)) -> Self {
        Self { error: Chain(error).to_string(), kind: ErrorClass::Operator }
    }
}

impl<E: Classified + 'static> From<E> for StepFailure {
    fn from(error: E) -> Self {
        Self { error: Chain(&error).to_string(), kind: error.kind() }
    }
}
