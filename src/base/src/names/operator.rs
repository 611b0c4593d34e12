//! The name of a person, or of a program of theirs, that works with the registrar from another machine.

use super::{NameError, is_plain_word, text_traits};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// Name of an operator or a monitor.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OperatorName(String);

impl OperatorName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for OperatorName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if is_plain_word(text, 64) {
            return Ok(Self(text.to_owned()));
        }
        Err(NameError::new(
            "operator name",
            text,
            "use at most 64 letters, digits, '.', '_' or '-', beginning with a letter or digit",
        ))
    }
}

text_traits!(OperatorName);
