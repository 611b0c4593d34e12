//! A key pair made here, and the request to certify it.

use super::IdentityError;
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use std::fmt;

/// A new key and the request that goes with it; the key leaves only into a file of its owner.
pub struct KeyRequest {
    key: KeyPair,
    request_pem: String,
}

impl KeyRequest {
    /// Makes a key (ECDSA P-256).
    ///
    /// # Errors
    /// Where the system gives no random numbers.
    pub fn new() -> Result<Self, IdentityError> {
        let key = KeyPair::generate().map_err(IdentityError::Make)?;
        // Who it is for is the authority's to say.
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&key).map_err(IdentityError::Make)?;
        let request_pem = request.pem().map_err(IdentityError::Make)?;
        Ok(Self { key, request_pem })
    }

    /// What the authority is sent.
    pub fn request_pem(&self) -> &str {
        &self.request_pem
    }

    /// The private key, as it is stored.
    pub(super) fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }
}

impl fmt::Debug for KeyRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyRequest(…)")
    }
}
