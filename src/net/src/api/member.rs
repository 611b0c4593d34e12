//! Letting others in, and out again.

use crate::identity::{Identity, Serial};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Asks for a token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InviteRequest {
    /// Who is to join with it.
    pub identity: Identity,
    /// For how long it can be used, in seconds; an hour where it is not given, a week at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_seconds: Option<u64>,
}

/// A text that is to reach its receiver only: never shown by `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// This text, from now on a secret.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InviteReply {
    /// Who is to join with it.
    pub identity: Identity,
    /// It, to be given to them and to nobody else.
    pub token: Secret,
    /// When it ends.
    pub expires: DateTime<Utc>,
    /// The port that the registrar serves the network at.
    pub port: u16,
}

/// Trades a token for a certificate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JoinRequest {
    /// The token.
    pub token: Secret,
    /// A request for a certificate (PKCS #10, PEM), signed with the key to certify.
    pub request_pem: String,
    /// What is joining: a token that is used with the wrong program is not spent.
    pub by: Joiner,
}

/// A program that joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Joiner {
    /// A compute node's service: nodes join by it.
    Agent,
    /// The command: everybody else joins by it.
    Command,
}

impl Joiner {
    /// The one that `identity` joins by.
    pub fn of(identity: &Identity) -> Self {
        match identity {
            Identity::Node(_) => Self::Agent,
            _ => Self::Command,
        }
    }

    /// The program's name.
    pub fn program(self) -> &'static str {
        match self {
            Self::Agent => "bootstash-agent",
            Self::Command => "bootstash",
        }
    }
}

/// Asks for a new certificate for who has one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RenewRequest {
    /// As in [`JoinRequest`].
    pub request_pem: String,
}

/// A certificate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CertificateReply {
    /// Role and name that it certifies.
    pub identity: Identity,
    /// The certificate, as PEM.
    pub certificate_pem: String,
    /// The authority's (PEM).
    pub authority_pem: String,
}

/// Somebody who has, or had, a certificate that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberView {
    /// Role and name.
    pub identity: Identity,
    /// The certificate's number.
    pub serial: Serial,
    /// When it was given.
    pub issued: DateTime<Utc>,
    /// When it ends.
    pub expires: DateTime<Utc>,
    /// When it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expelled: Option<DateTime<Utc>>,
}

/// Names who is to be expelled.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExpelQuery {
    /// Role and name.
    pub identity: Identity,
}

/// What expelling did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpelReply {
    /// How many certificates do not count any more.
    pub certificates: u64,
    /// How many tokens that were not used yet.
    pub invitations: u64,
}
