//! The name of a group of this host's users.

use super::{NameError, text_traits};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// Name of a group of users.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GroupName(String);

impl GroupName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The group of root, which has nobody else in it.
    pub fn root() -> Self {
        Self("root".to_owned())
    }

    /// The group that the packages make for those who may make overlays.
    pub fn bootstash() -> Self {
        Self("bootstash".to_owned())
    }
}

impl FromStr for GroupName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let mut rest = text.chars();
        let first = rest.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        // 32 bytes: the longest that groupadd makes.
        if first
            && text.len() <= 32
            && rest.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
        {
            return Ok(Self(text.to_owned()));
        }
        Err(NameError::new(
            "group name",
            text,
            "use a name, no number: letters, digits, '_', '-' or '.', beginning with a letter or '_'",
        ))
    }
}

text_traits!(GroupName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_no_number() {
        for good in ["root", "_libvirt", "libvirt-qemu", "a.b"] {
            assert_eq!(good.parse::<GroupName>().unwrap().as_str(), good);
        }
        for bad in ["", "0", "-x", "a b", "a:b", "a\n", &"a".repeat(33)] {
            bad.parse::<GroupName>().unwrap_err();
        }
    }
}
