//! Names, parsed once at the edge: what holds one of these types needs no further check.

mod dataset;
mod group;
mod guid;
mod image;
mod node;
mod operator;
mod snapshot;

pub use dataset::DatasetName;
pub use group::GroupName;
pub use guid::Guid;
pub use image::ImageName;
pub use node::NodeName;
pub use operator::OperatorName;
pub use snapshot::SnapshotName;

/// A name that was refused, and what would have been accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {given:?} is not valid: {rule}")]
pub struct NameError {
    what: &'static str,
    given: String,
    rule: &'static str,
}

impl NameError {
    /// Quotes at most 80 characters of what was given, so that an error stays one line.
    fn new(what: &'static str, given: &str, rule: &'static str) -> Self {
        let mut quoted: String = given.chars().take(80).collect();
        if quoted.len() < given.len() {
            quoted.push('…');
        }
        Self { what, given: quoted, rule }
    }
}

/// A word of at most `max_bytes` of `[A-Za-z0-9._-]` which starts with a letter or digit.
fn is_plain_word(text: &str, max_bytes: usize) -> bool {
    text.len() <= max_bytes
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

/// The traits every name has: text in, text out, serde as text.
macro_rules! text_traits {
    ($name:ident) => {
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
        impl TryFrom<String> for $name {
            type Error = $crate::names::NameError;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.as_str().to_owned()
            }
        }
    };
}
use text_traits;
