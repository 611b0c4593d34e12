//! Calling others on the network as who we are.

use super::client::READ_TIMEOUT;
use super::{CallError, Client, Endpoint, TransportError};
use crate::identity::{CredentialStore, ExpectedPeer, Token, joining};
use rustls::ClientConfig;
use std::time::Duration;

/// Makes clients. Cheap to clone; those it made use renewed credentials, too.
#[derive(Clone, Debug)]
pub struct Dialer(Option<CredentialStore>);

impl Dialer {
    /// Calls with these credentials.
    pub fn new(store: CredentialStore) -> Self {
        Self(Some(store))
    }

    /// Calls without TLS: for tests on fakes, and for simulations, whose network is made up.
    pub fn without_tls() -> Self {
        Self(None)
    }

    /// How URLs begin.
    pub fn scheme(&self) -> &'static str {
        if self.0.is_some() { "https" } else { "http" }
    }

    /// A client of who is `wanted` and serves at `url`.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up at all.
    pub fn client(&self, url: &str, expected: ExpectedPeer) -> Result<Client, CallError> {
        self.client_with_read_timeout(url, expected, READ_TIMEOUT)
    }

    /// The same, which gives up on who says nothing for `silence`.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up at all.
    pub fn client_with_read_timeout(
        &self,
        url: &str,
        expected: ExpectedPeer,
        silence: Duration,
    ) -> Result<Client, CallError> {
        let endpoint = Endpoint::Tcp(url.to_owned());
        match &self.0 {
            None => Client::patient_for(endpoint, silence),
            Some(store) => match store.client(expected) {
                Ok(tls) => Ok(Client::over_tls(endpoint, silence, tls)?.showing(store.clone())),
                Err(error) => Err(CallError::Unreachable { endpoint, source: TransportError::new(error) }),
            },
        }
    }
}

/// A client of the registrar at `url` that a token pins, for who has no certificate yet.
///
/// # Errors
/// When the HTTP client cannot be set up at all.
pub fn joining_client(url: &str, token: &Token, silence: Duration) -> Result<Client, CallError> {
    let endpoint = Endpoint::Tcp(url.to_owned());
    let tls: Result<ClientConfig, _> = joining(token);
    match tls {
        Ok(tls) => Client::over_tls(endpoint, silence, tls),
        Err(error) => Err(CallError::Unreachable { endpoint, source: TransportError::new(error) }),
    }
}
