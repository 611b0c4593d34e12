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

/// Derives [`Classified`]: `#[class(…)]` on each variant, or on the type for all variants without one.
///
/// | `#[class(…)]` | the class is |
/// |---|---|
/// | `permanent`, `transient`, `busy`, `cancelled`, `operator` | this one |
/// | `source` | that of the error's cause: the field thiserror takes for it, or the only one |
/// | `field = name` | what the field of this name holds |
/// | `with = function` | what `function(&error)` returns |
///
/// ```
/// use bootstash_base::error::{Classified, ErrorClass};
///
/// #[derive(Debug, thiserror::Error, Classified)]
/// enum SendError {
///     #[error("no snapshot {0}")]
///     #[class(permanent)]
///     Missing(String),
///     #[error("the pool is busy")]
///     #[class(busy)]
///     Busy,
/// }
///
/// assert_eq!(SendError::Busy.kind(), ErrorClass::Busy);
/// ```
///
/// A variant without a class does not compile:
///
/// ```compile_fail
/// #[derive(Debug, thiserror::Error, bootstash_base::error::Classified)]
/// enum SendError {
///     #[error("the pool is busy")]
///     Busy,
/// }
/// ```
pub use bootstash_base_derive::Classified;

/// An error that knows its [`ErrorClass`].
pub trait Classified: Error {
    /// What may follow.
    fn kind(&self) -> ErrorClass;
}

impl<E: Classified> Classified for Box<E> {
    fn kind(&self) -> ErrorClass {
        (**self).kind()
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error, Classified)]
    #[error("the disk is full")]
    #[class(operator)]
    struct Full;

    #[derive(Debug, thiserror::Error, Classified)]
    #[error("not copied")]
    #[class(source)]
    struct NotCopied {
        source: Full,
    }

    #[derive(Debug, thiserror::Error, Classified)]
    #[class(transient)]
    enum Mixed {
        #[error("the connection broke")]
        Broken,
        #[error("no such image")]
        #[class(permanent)]
        Missing { _name: String },
        #[error(transparent)]
        #[class(source)]
        Copy(#[from] NotCopied),
        #[error("{0} tries")]
        #[class(with = by_tries)]
        Tries(u32, #[source] Full),
        #[error("it ends")]
        #[class(cancelled)]
        Ending(u32),
        #[error("not written")]
        #[class(source)]
        Write(u32, #[source] Full),
        #[error("refused")]
        #[class(field = class)]
        Refused { class: ErrorClass },
    }

    fn by_tries(error: &Mixed) -> ErrorClass {
        if matches!(error, Mixed::Tries(3.., _)) { ErrorClass::Permanent } else { ErrorClass::Busy }
    }

    #[test]
    fn each_form_of_class_counts() {
        let errors = [
            Mixed::Broken,
            Mixed::Missing { _name: String::new() },
            Mixed::from(NotCopied { source: Full }),
            Mixed::Tries(1, Full),
            Mixed::Tries(3, Full),
            Mixed::Ending(1),
            Mixed::Write(1, Full),
            Mixed::Refused { class: Busy },
        ];
        use ErrorClass::{Busy, Cancelled, Operator, Permanent, Transient};
        let kinds = errors.map(|error| error.kind());
        assert_eq!(kinds, [Transient, Permanent, Operator, Busy, Permanent, Cancelled, Operator, Busy]);
    }
}
