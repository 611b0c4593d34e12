//! The number of a certificate.

use super::IdentityError;
use serde::{Deserialize, Serialize};
use std::fmt;

const BYTES: usize = 16;

/// The serial number of a certificate: random, in hex.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Serial(String);

impl Serial {
    /// A new one.
    ///
    /// # Errors
    /// Where the system gives no random numbers.
    pub(super) fn new() -> Result<([u8; BYTES], Self), IdentityError> {
        let mut bytes: [u8; BYTES] = super::random()?;
        // Positive, and of full length in its encoding (RFC 5280, 4.1.2.2).
        bytes[0] = bytes[0] & 0x7f | 0x40;
        Ok((bytes, Self::of(&bytes)))
    }

    /// That of a certificate.
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
