//! The name under which an image is registered; also the name of its directory in the volume.

use super::{NameError, is_plain_word, text_traits};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// Name of a registered image.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageName(String);

impl ImageName {
    /// The longest name, in bytes.
    pub const MAX_BYTES: usize = 100;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ImageName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if is_plain_word(text, Self::MAX_BYTES) {
            return Ok(Self(text.to_owned()));
        }
        Err(NameError::new(
            "image name",
            text,
            "use 1 to 100 letters, digits, '.', '_' or '-', beginning with a letter or digit",
        ))
    }
}

text_traits!(ImageName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_operators_use() {
        for name in ["debian12", "win-2022.01", "a", "Ubuntu_24.04", "9front"] {
            assert_eq!(name.parse::<ImageName>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn refuses_what_could_leave_the_directory() {
        let long = "x".repeat(300);
        for name in ["", ".", "..", "../etc", "a/b", "/a", "a b", "-rf", ".hidden", "ä", "a\n", &long] {
            let error = name.parse::<ImageName>().unwrap_err().to_string();
            assert!(error.contains("image name"), "{error}");
            assert!(error.len() < 300, "{error}");
        }
    }
}
