//! Whom to believe: rustls' own check of chain, time and signature, and then the identity.

use super::credential_store::{ExpectedPeer, provider, tls};
use super::{IdentityError, SERVER_NAME, Token, certificate};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::sync::Arc;

/// Clients: whoever has a certificate of this authority, or none at all.
pub(super) fn clients_of(
    authority: &CertificateDer<'static>,
) -> Result<Arc<dyn ClientCertVerifier>, IdentityError> {
    let builder = WebPkiClientVerifier::builder_with_provider(roots(authority)?, provider());
    builder.allow_unauthenticated().build().map_err(tls)
}

/// Whether this authority made a certificate, which counts now.
pub(super) fn is_of(
    certificate: &CertificateDer<'_>,
    authority: &CertificateDer<'static>,
) -> Result<(), IdentityError> {
    let verified = clients_of(authority)?.verify_client_cert(certificate, &[], UnixTime::now());
    verified.map(drop).map_err(|error| IdentityError::Mismatch(error.into()))
}

/// Which authority a server has to be of.
#[derive(Debug)]
pub(super) enum Trust {
    /// This one.
    Authority(Arc<WebPkiServerVerifier>),
    /// The one that the server shows, if this token pins it.
    Pinned(Token),
}

impl Trust {
    pub(super) fn of(authority: &CertificateDer<'static>) -> Result<Self, IdentityError> {
        servers_of(authority).map(Self::Authority)
    }

    fn chain(&self, shown: &[CertificateDer<'_>]) -> Result<Arc<WebPkiServerVerifier>, Error> {
        match self {
            Self::Authority(chain) => Ok(Arc::clone(chain)),
            Self::Pinned(token) => {
                let pinned = shown.iter().find(|shown| token.pins(shown));
                let pinned = pinned.ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
                servers_of(&pinned.clone().into_owned()).map_err(|_| refused())
            }
        }
    }
}

/// A server that is who was wanted, at whatever address.
#[derive(Debug)]
pub(super) struct ExpectIdentity {
    pub(super) trust: Trust,
    pub(super) expected: ExpectedPeer,
}

impl ServerCertVerifier for ExpectIdentity {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = self.trust.chain(intermediates)?;
        let name = ServerName::try_from(SERVER_NAME).map_err(|_| refused())?;
        let verified = chain.verify_server_cert(end_entity, intermediates, &name, ocsp, now)?;
        let facts = certificate::read(end_entity).map_err(|_| refused())?;
        if self.expected.is(&facts.identity) { Ok(verified) } else { Err(refused()) }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // Not offered, see `live`.
        Err(refused())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let schemes = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &schemes)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

fn servers_of(authority: &CertificateDer<'static>) -> Result<Arc<WebPkiServerVerifier>, IdentityError> {
    WebPkiServerVerifier::builder_with_provider(roots(authority)?, provider()).build().map_err(tls)
}

fn roots(authority: &CertificateDer<'static>) -> Result<Arc<RootCertStore>, IdentityError> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone()).map_err(tls)?;
    Ok(Arc::new(roots))
}

/// Somebody of this authority, and not who was wanted.
fn refused() -> Error {
    Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)
}
