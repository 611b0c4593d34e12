//! The credentials in use, which change while connections are made: a renewal needs no restart.

use super::verify::{ExpectIdentity, Trust, clients_of};
use super::{Credentials, Identity, IdentityError, Token};
use parking_lot::RwLock;
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ServerConfig, SignatureScheme};
use std::sync::Arc;

/// The credentials in use. Cheap to clone.
#[derive(Clone, Debug)]
pub struct CredentialStore(Arc<RwLock<Arc<Credentials>>>);

/// HTTP/1.1, and nothing else that might be spoken over TLS.
const PROTOCOL: &[u8] = b"http/1.1";

impl CredentialStore {
    /// These, until they are replaced.
    pub fn new(credentials: Credentials) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(credentials))))
    }

    /// Those in use now.
    pub fn now(&self) -> Arc<Credentials> {
        Arc::clone(&self.0.read())
    }

    /// New connections use these.
    pub fn replace(&self, credentials: Credentials) {
        *self.0.write() = Arc::new(credentials);
    }

    /// For serving. Who comes without a certificate is let in unauthenticated: joining starts so.
    ///
    /// # Errors
    /// Where the authority's certificate is none.
    pub fn server(&self) -> Result<ServerConfig, IdentityError> {
        let clients = clients_of(self.now().authority())?;
        let builder = ServerConfig::builder_with_provider(provider());
        let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).map_err(tls)?;
        let mut config =
            builder.with_client_cert_verifier(clients).with_cert_resolver(Arc::new(self.clone()));
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        // Who comes again is looked at again: a session that goes on would outlive a certificate's end.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    /// For calling one who is `wanted`.
    ///
    /// # Errors
    /// Where the authority's certificate is none.
    pub fn client(&self, expected: ExpectedPeer) -> Result<ClientConfig, IdentityError> {
        let builder = calling(Trust::of(self.now().authority())?, expected)?;
        Ok(finished(builder.with_client_cert_resolver(Arc::new(self.clone()))))
    }
}

/// For calling a registrar that is known by a token only.
///
/// # Errors
/// Where TLS cannot be set up.
pub fn joining(token: &Token) -> Result<ClientConfig, IdentityError> {
    let builder = calling(Trust::Pinned(token.clone()), ExpectedPeer::Exactly(Identity::Registrar))?;
    Ok(finished(builder.with_no_client_auth()))
}

/// For calls that are no business of TLS: should one come to it all the same, nobody is believed.
///
/// # Errors
/// Where TLS cannot be set up.
pub fn without_trust_roots() -> Result<ClientConfig, IdentityError> {
    Ok(client_builder()?.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
}

/// Who is to answer a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpectedPeer {
    /// This one.
    Exactly(Identity),
    /// Any node.
    AnyNode,
}

impl ExpectedPeer {
    pub(super) fn is(&self, identity: &Identity) -> bool {
        match self {
            Self::Exactly(expected) => expected == identity,
            Self::AnyNode => matches!(identity, Identity::Node(_)),
        }
    }
}

type Builder = rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>;

fn client_builder() -> Result<Builder, IdentityError> {
    let builder = ClientConfig::builder_with_provider(provider());
    builder.with_protocol_versions(&[&rustls::version::TLS13]).map_err(tls)
}

fn calling(
    trust: Trust,
    expected: ExpectedPeer,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, IdentityError> {
    let verifier = Arc::new(ExpectIdentity { trust, expected });
    Ok(client_builder()?.dangerous().with_custom_certificate_verifier(verifier))
}

fn finished(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.resumption = Resumption::disabled();
    config
}

pub(super) fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

pub(super) fn tls(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> IdentityError {
    IdentityError::Tls(error.into())
}

impl ResolvesServerCert for CredentialStore {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.now().certified())
    }
}

impl ResolvesClientCert for CredentialStore {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.now().certified())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
