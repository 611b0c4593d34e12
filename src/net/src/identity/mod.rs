//! Who is who on the network, and what each may do.
//!
//! The registrar is its own certificate authority. Whoever speaks on the network has a certificate of it
//! that names one [`Identity`]; an invitation's [`Token`] gets one, once. The names of hosts mean nothing:
//! a certificate is believed for the identity in it, wherever its owner is.
//!
//! Promises: a private key is made where it is used, never leaves it, is readable by its owner alone and
//! never shown; TLS 1.3 and nothing older; who cannot be told is unauthenticated and may only join.

#[cfg(any(feature = "ca", test))]
mod authority;
mod authorization;
mod certificate;
mod credential_store;
mod credentials;
mod error;
mod request;
mod role;
mod serial;
mod token;
mod verify;

#[cfg(any(feature = "ca", test))]
pub use authority::{Authority, Issued};
pub use authorization::{Permission, Principal};
pub use credential_store::{CredentialStore, ExpectedPeer, joining, without_trust_roots};
pub use credentials::{Credentials, Joined};
pub use error::IdentityError;
pub use request::KeyRequest;
pub use role::{Identity, IdentityParseError};
pub use serial::Serial;
pub use token::{Token, TokenDigest, TokenError};

/// The name in every certificate that serves: nodes and registrars are found by configuration, and told by
/// the identity, so that no certificate has to list the names and addresses of its host. The domain is
/// reserved for private use (ICANN, 2024).
pub const SERVER_NAME: &str = "bootstash.internal";

/// Fills with random bytes that nobody can guess.
fn random<const N: usize>() -> Result<[u8; N], IdentityError> {
    let mut bytes = [0; N];
    let random = rustls::crypto::ring::default_provider().secure_random;
    random.fill(&mut bytes).map_err(|_| IdentityError::Random)?;
    Ok(bytes)
}

/// Who a certificate (DER) that TLS has accepted belongs to, and until when.
///
/// # Errors
/// Where it is none of ours.
pub fn of_certificate(der: &[u8]) -> Result<(Principal, chrono::DateTime<chrono::Utc>), IdentityError> {
    let facts = certificate::read(der)?;
    Ok((Principal::Member { identity: facts.identity, serial: facts.serial }, facts.expires))
}
