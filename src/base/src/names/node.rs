//! The name by which a compute node reports to the registrar: usually its host name.

use super::{NameError, is_plain_word, text_traits};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// Name of a compute node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeName(String);

impl NodeName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        // 253 bytes: the longest host name DNS allows (RFC 1123).
        if is_plain_word(text, 253) {
            return Ok(Self(text.to_owned()));
        }
        Err(NameError::new(
            "node name",
            text,
            "use a host name: letters, digits, '.', '_' or '-', beginning with a letter or digit",
        ))
    }
}

text_traits!(NodeName);
