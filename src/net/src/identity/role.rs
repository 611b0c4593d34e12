//! The roles, and who has one.

use bootstash_base::names::{NameError, NodeName, OperatorName};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Who somebody is. As text, and in certificates as a URI: `bootstash:node:c17`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Identity {
    /// The storage node's service.
    Registrar,
    /// A compute node's agent.
    Node(NodeName),
    /// A person who may order the registrar to do things.
    Operator(OperatorName),
    /// A program that reads metrics, and no more.
    Monitor(OperatorName),
}

/// A text names no identity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityParseError {
    /// Its form is wrong.
    #[error("{0:?} is no identity; write it as node:NAME, operator:NAME or monitor:NAME")]
    Form(String),
    /// The name in it.
    #[error(transparent)]
    Name(#[from] NameError),
}

const SCHEME: &str = "bootstash:";

impl Identity {
    /// As it stands in a certificate.
    pub fn uri(&self) -> String {
        format!("{SCHEME}{}", String::from(self.clone()))
    }

    /// Reads what stands in a certificate.
    ///
    /// # Errors
    /// Where it is none of ours.
    pub fn from_uri(uri: &str) -> Result<Self, IdentityParseError> {
        let text = uri.strip_prefix(SCHEME);
        text.ok_or_else(|| IdentityParseError::Form(uri.to_owned()))?.parse()
    }

    /// Whether others connect to it.
    pub fn serves(&self) -> bool {
        matches!(self, Self::Registrar | Self::Node(_))
    }
}

/// For people: `node c17`.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registrar => f.write_str("registrar"),
            Self::Node(name) => write!(f, "node {name}"),
            Self::Operator(name) => write!(f, "operator {name}"),
            Self::Monitor(name) => write!(f, "monitor {name}"),
        }
    }
}

impl FromStr for Identity {
    type Err = IdentityParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            None if text == "registrar" => Ok(Self::Registrar),
            Some(("node", name)) => Ok(Self::Node(name.parse()?)),
            Some(("operator", name)) => Ok(Self::Operator(name.parse()?)),
            Some(("monitor", name)) => Ok(Self::Monitor(name.parse()?)),
            _ => Err(IdentityParseError::Form(text.chars().take(80).collect())),
        }
    }
}

impl TryFrom<String> for Identity {
    type Error = IdentityParseError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Identity> for String {
    fn from(identity: Identity) -> Self {
        identity.to_string().replace(' ', ":")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_identity_survives_its_text() {
        for text in ["registrar", "node:c17.example", "operator:ada", "monitor:prometheus"] {
            let identity: Identity = text.parse().unwrap();
            assert_eq!(Identity::from_uri(&identity.uri()).unwrap(), identity);
            assert_eq!(String::from(identity), text);
        }
        for bad in ["", "node", "node:", "node:a b", "root:x", "registrar:x", "node:../x", "operator:a:b"] {
            assert!(bad.parse::<Identity>().is_err(), "{bad}");
        }
        assert!(Identity::from_uri("spiffe:node:c17").is_err());
    }
}
