//! What an error asks of whoever meets it: try again, wait, or call a person.

use std::error::Error;
use std::fmt;

/// How an operation failed, in terms of what may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorClass {
    /// The same call will fail again: the request or the data is wrong.
    Permanent,
    /// The same call may pass later, unaided.
    Transient,
    /// Somebody else is at it; wait for them.
    Busy,
    /// We were asked to stop.
    Cancelled,
    /// Only a person can mend it.
    Operator,
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Permanent => "permanent",
            Self::Transient => "transient",
            Self::Busy => "busy",
            Self::Cancelled => "cancelled",
            Self::Operator => "needs an operator",
        })
    }
}

/// An error that knows its [`ErrorClass`].
pub trait Classified: Error {
    /// What may follow.
    fn kind(&self) -> ErrorClass;
}

/// Shows an error with its causes on one line: `what: why: why that`.
pub struct Chain<'a>(pub &'a dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
