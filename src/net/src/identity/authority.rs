//! The registrar's own certificate authority.

use super::certificate;
use super::{Identity, IdentityError, SERVER_NAME, Serial};
use bootstash_base::files::replace_secret_file;
use chrono::{DateTime, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Certificate and key in one file, so that neither is ever without the other.
const FILE: &str = "authority.pem";
/// The clocks of hosts differ.
const CLOCK_SKEW: Duration = Duration::from_secs(300);
const LIFETIME: Duration = Duration::from_secs(3650 * 86400);
const SERIAL_BYTES: usize = 16;

/// Makes certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    certificate_pem: String,
}

/// A certificate that was made.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate, PEM.
    pub certificate_pem: String,
    /// Its number.
    pub serial: Serial,
    /// When it ends.
    pub expires: DateTime<Utc>,
}

impl Authority {
    /// Makes an authority in `dir`, where there is none. Tells whether it did. Blocking, short.
    ///
    /// # Errors
    /// Where it cannot be written, or what is there is damaged.
    pub fn create(dir: &Path) -> Result<(Self, bool), IdentityError> {
        match Self::load(dir) {
            Err(IdentityError::Missing { .. }) => (),
            there => return Ok((there?, false)),
        }
        super::credentials::make_dir(dir)?;
        let key = KeyPair::generate().map_err(IdentityError::Make)?;
        let certificate = params()?.self_signed(&key).map_err(IdentityError::Make)?;
        let path = dir.join(FILE);
        let text = format!("{}{}", certificate.pem(), key.serialize_pem());
        replace_secret_file(&path, text.as_bytes()).map_err(|source| IdentityError::Io { path, source })?;
        Ok((Self::load(dir)?, true))
    }

    /// Reads the authority in `dir`. Blocking, short.
    ///
    /// # Errors
    /// Where there is none, or it is damaged, or others may read its key.
    pub fn load(dir: &Path) -> Result<Self, IdentityError> {
        let path = dir.join(FILE);
        let text = super::credentials::read_secret(&path, dir)?;
        let damaged = |source: Box<dyn std::error::Error + Send + Sync>| IdentityError::Damaged {
            path: PathBuf::from(&path),
            source,
        };
        let certificate = CertificateDer::from_pem_slice(text.as_bytes()).map_err(|e| damaged(e.into()))?;
        let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|e| damaged(e.into()))?;
        let key = KeyPair::try_from(&key).map_err(|e| damaged(e.into()))?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(|e| damaged(e.into()))?;
        let end =
            text.find("-----END CERTIFICATE-----").map_or(0, |at| at + "-----END CERTIFICATE-----".len());
        let certificate_pem = format!("{}\n", &text[..end]);
        Ok(Self { issuer, certificate, certificate_pem })
    }

    /// Its certificate, for those who are to believe it.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The same, as it is signed.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Certifies the key in a request as `identity`'s; whatever else the request asks for is not looked at.
    ///
    /// # Errors
    /// Where it is no request, or not signed with the key in it.
    pub fn issue(
        &self,
        identity: &Identity,
        request_pem: &str,
        lifetime: Duration,
    ) -> Result<Issued, IdentityError> {
        let request =
            CertificateSigningRequestParams::from_pem(request_pem).map_err(IdentityError::Request)?;
        let (number, serial) = new_serial()?;
        let mut params = params_of(identity, lifetime)?;
        params.serial_number = Some(SerialNumber::from_slice(&number));
        let made = params.signed_by(&request.public_key, &self.issuer).map_err(IdentityError::Make)?;
        let facts = certificate::read(made.der())?;
        debug_assert_eq!(facts.serial, serial);
        Ok(Issued { certificate_pem: made.pem(), serial: facts.serial, expires: facts.expires })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority(…)")
    }
}

fn params() -> Result<CertificateParams, IdentityError> {
    let (number, serial) = new_serial()?;
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from_slice(&number));
    // No two have the same name, so that a certificate of a former one is told at once.
    params.distinguished_name = named(&format!("bootstash {}", &serial.to_string()[..8]));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let now = SystemTime::now();
    params.not_before = (now - CLOCK_SKEW).into();
    params.not_after = (now + LIFETIME).into();
    Ok(params)
}

fn params_of(identity: &Identity, lifetime: Duration) -> Result<CertificateParams, IdentityError> {
    let mut params = CertificateParams::default();
    let name = |text: &str| text.try_into().map_err(IdentityError::Make);
    params.distinguished_name = named("bootstash");
    params.subject_alt_names = vec![SanType::URI(name(&identity.uri())?)];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    if identity.serves() {
        params.subject_alt_names.push(SanType::DnsName(name(SERVER_NAME)?));
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    let now = SystemTime::now();
    params.not_before = (now - CLOCK_SKEW).into();
    params.not_after = (now + lifetime).into();
    Ok(params)
}

fn named(text: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, text);
    name
}

fn new_serial() -> Result<([u8; SERIAL_BYTES], Serial), IdentityError> {
    let mut bytes: [u8; SERIAL_BYTES] = super::random()?;
    // Positive, and of full length in its encoding (RFC 5280, 4.1.2.2).
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok((bytes, Serial::of(&bytes)))
}
