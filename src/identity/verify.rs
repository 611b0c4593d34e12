//! Whom to believe: rustls' own check of chain, time and signature, and then the identity.

use super::live::{Wanted, provider, tls};
use super::{Identity, IdentityError, SERVER_NAME, Token, certificate};
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
    let roots = Arc::new(roots(authority)?);
    let builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
    builder.allow_unauthenticated().build().map_err(tls)
}

/// A server of this authority that is who was wanted, at whatever address.
#[derive(Debug)]
pub(super) struct ExpectIdentity {
    chain: Arc<WebPkiServerVerifier>,
    wanted: Wanted,
}

impl ExpectIdentity {
    pub(super) fn of(authority: &CertificateDer<'static>, wanted: Wanted) -> Result<Self, IdentityError> {
        let roots = Arc::new(roots(authority)?);
        let chain = WebPkiServerVerifier::builder_with_provider(roots, provider()).build().map_err(tls)?;
        Ok(Self { chain, wanted })
    }
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
        let name = ServerName::try_from(SERVER_NAME).map_err(|_| refused())?;
        let verified = self.chain.verify_server_cert(end_entity, intermediates, &name, ocsp, now)?;
        let facts = certificate::read(end_entity).map_err(|_| refused())?;
        if self.wanted.is(&facts.identity) { Ok(verified) } else { Err(refused()) }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// A registrar that shows the authority which a token pins.
#[derive(Debug)]
pub(super) struct PinnedAuthority {
    token: Token,
}

impl PinnedAuthority {
    pub(super) fn new(token: Token) -> Self {
        Self { token }
    }
}

impl ServerCertVerifier for PinnedAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let pinned = intermediates.iter().find(|shown| self.token.pins(shown));
        let pinned = pinned.ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let registrar = Wanted::Exactly(Identity::Registrar);
        let expect = ExpectIdentity::of(&pinned.clone().into_owned(), registrar).map_err(|_| refused())?;
        expect.verify_server_cert(end_entity, intermediates, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
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

fn roots(authority: &CertificateDer<'static>) -> Result<RootCertStore, IdentityError> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone()).map_err(tls)?;
    Ok(roots)
}

/// Somebody of this authority, and not who was wanted.
fn refused() -> Error {
    Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)
}
