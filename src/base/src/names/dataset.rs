//! Names of ZFS file systems: `pool/a/b`.

use super::{NameError, text_traits};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// Name of a ZFS file system (no snapshot part).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DatasetName(String);

impl DatasetName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The pool it lies in.
    pub fn pool(&self) -> &str {
        self.0.split('/').next().unwrap_or(&self.0)
    }

    /// The file system above it; none for a pool's root.
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(parent, _)| Self(parent.to_owned()))
    }

    /// The last part.
    pub fn leaf(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The file system `leaf` below this one.
    ///
    /// # Errors
    /// When `leaf` is no single component ZFS takes, or the whole grows past ZFS' 255 bytes.
    pub fn child(&self, leaf: &str) -> Result<Self, NameError> {
        format!("{}/{leaf}", self.0).parse()
    }
}

impl FromStr for DatasetName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        // 255 bytes: ZFS_MAX_DATASET_NAME_LEN with its final zero, less the zero.
        if text.len() <= 255 && text.split('/').all(is_component) {
            return Ok(Self(text.to_owned()));
        }
        Err(NameError::new(
            "data set",
            text,
            "it reads like pool/name, each part of letters, digits, '.', '_', '-' or ':' and beginning with a letter or digit",
        ))
    }
}

fn is_component(part: &str) -> bool {
    part.starts_with(|c: char| c.is_ascii_alphanumeric())
        && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':'))
}

text_traits!(DatasetName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_a_pool_a_parent_and_children() {
        let name: DatasetName = "tank/bootstash/views".parse().unwrap();
        assert_eq!(name.pool(), "tank");
        assert_eq!(name.leaf(), "views");
        assert_eq!(name.parent().unwrap().as_str(), "tank/bootstash");
        assert_eq!(name.child("x").unwrap().as_str(), "tank/bootstash/views/x");
        assert!("tank".parse::<DatasetName>().unwrap().parent().is_none());
    }

    #[test]
    fn refuses_snapshots_paths_and_options() {
        for text in ["", "/tank", "tank/", "tank//a", "tank@s", "-o", "tank/-o", "tank/a b", "tank/.."] {
            assert!(text.parse::<DatasetName>().is_err(), "{text}");
        }
    }
}
