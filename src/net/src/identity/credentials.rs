//! Who we are: a key, its certificate, and the authority's, in a directory of ours.
//!
//! `identity.pem` (certificate, authority's certificate and key, 0600) is replaced as one, so that a crash never
//! parts them. `ca.pem` is a copy for other programs, and not read. `authority.pem` of the registrar's own
//! directory is another matter, see [`super::Authority`].

use super::certificate::{self, Facts};
use super::credential_store::tls;
use super::verify;
use super::{Identity, IdentityError, KeyRequest, Serial, TokenDigest};
use bootstash_base::files::{replace_file, replace_secret_file};
use chrono::{DateTime, Utc};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const IDENTITY: &str = "identity.pem";
const AUTHORITY: &str = "ca.pem";
const JOINED: &str = "joined.json";

/// A certificate with its key, read and checked.
pub struct Credentials {
    facts: Facts,
    authority: CertificateDer<'static>,
    certified: Arc<CertifiedKey>,
}

/// How a certificate was come by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// The registrar: `https://host:port`.
    pub registrar: String,
    /// The token that was used up.
    pub token: TokenDigest,
}

impl Credentials {
    /// Reads those in `dir`. Blocking, short.
    ///
    /// # Errors
    /// Where there are none, they are damaged, or others may read the key.
    pub fn load(dir: &Path) -> Result<Self, IdentityError> {
        let path = dir.join(IDENTITY);
        let text = read_secret(&path, dir)?;
        Self::parse(&text).map_err(|source| damaged(&path, source))
    }

    fn parse(text: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<_, _>>()?;
        let [leaf, authority] = chain.as_slice() else {
            return Err("it does not hold a certificate and its authority's".into());
        };
        let (facts, authority) = (certificate::read(leaf)?, authority.clone());
        let key = PrivateKeyDer::from_pem_slice(text.as_bytes())?;
        // Refuses a key that is another certificate's.
        let certified = CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider())?;
        Ok(Self { facts, authority, certified: Arc::new(certified) })
    }

    /// Puts a certificate with its key and the authority's into `dir`, in place of what is there. Blocking,
    /// short.
    ///
    /// # Errors
    /// What the file system says, or that they do not belong together; what was there then stays.
    pub fn store(
        dir: &Path,
        request: &KeyRequest,
        certificate_pem: &str,
        authority_pem: &str,
    ) -> Result<(), IdentityError> {
        let text = format!("{certificate_pem}{authority_pem}{}", request.key_pem());
        let made = Self::parse(&text).map_err(IdentityError::Mismatch)?;
        verify::is_of(made.certified.end_entity_cert().map_err(tls)?, &made.authority)?;
        make_dir(dir)?;
        let (path, copy) = (dir.join(IDENTITY), dir.join(AUTHORITY));
        replace_secret_file(&path, text.as_bytes()).map_err(|source| IdentityError::Io { path, source })?;
        replace_file(&copy, authority_pem.as_bytes())
            .map_err(|source| IdentityError::Io { path: copy, source })
    }

    /// Who we are.
    pub fn identity(&self) -> &Identity {
        &self.facts.identity
    }

    /// The certificate's number.
    pub fn serial(&self) -> &Serial {
        &self.facts.serial
    }

    /// When it ends.
    pub fn expires(&self) -> DateTime<Utc> {
        self.facts.expires
    }

    /// Whether a new one is to be asked for: a third of its time is left for that to succeed in.
    pub fn is_due(&self) -> bool {
        Utc::now() >= self.facts.expires - (self.facts.expires - self.facts.issued) / 3
    }

    /// The authority's certificate.
    pub fn authority(&self) -> &CertificateDer<'static> {
        &self.authority
    }

    pub(super) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }
}

impl Joined {
    /// Reads how the credentials in `dir` were come by; none where they were not by joining. Blocking, short.
    ///
    /// # Errors
    /// Where it is there and cannot be read.
    pub fn load(dir: &Path) -> Result<Option<Self>, IdentityError> {
        let path = dir.join(JOINED);
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|source| damaged(&path, source)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(IdentityError::Io { path, source }),
        }
    }

    /// Notes it. Blocking, short.
    ///
    /// # Errors
    /// What the file system says.
    pub fn store(&self, dir: &Path) -> Result<(), IdentityError> {
        let path = dir.join(JOINED);
        let text = serde_json::to_vec(self).map_err(|source| damaged(&path, source))?;
        replace_file(&path, &text).map_err(|source| IdentityError::Io { path, source })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({}, {}, key …)", self.facts.identity, self.facts.serial)
    }
}

/// A directory that only its owner may look into.
pub(super) fn make_dir(dir: &Path) -> Result<(), IdentityError> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|source| IdentityError::Io { path: dir.to_owned(), source })
}

/// A file with a key in it, which nobody else may have read.
pub(super) fn read_secret(path: &Path, dir: &Path) -> Result<String, IdentityError> {
    let io_error = |source| IdentityError::Io { path: path.to_owned(), source };
    let mode = match std::fs::metadata(path) {
        Ok(metadata) => metadata.permissions().mode(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(IdentityError::Missing { dir: dir.to_owned() });
        }
        Err(error) => return Err(io_error(error)),
    };
    if mode & 0o077 != 0 {
        return Err(IdentityError::Exposed { path: path.to_owned() });
    }
    std::fs::read_to_string(path).map_err(io_error)
}

fn damaged(path: &Path, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> IdentityError {
    IdentityError::Damaged { path: PathBuf::from(path), source: source.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Authority;
    use std::time::Duration;

    const LIFETIME: Duration = Duration::from_secs(3600);

    fn authority(dir: &Path) -> Authority {
        Authority::create(dir).unwrap().0
    }

    /// A key, and a certificate of it by `authority`.
    fn certified(authority: &Authority) -> (KeyRequest, String) {
        let request = KeyRequest::new().unwrap();
        let identity = "node:c1".parse().unwrap();
        let issued = authority.issue(&identity, request.request_pem(), LIFETIME).unwrap();
        (request, issued.certificate_pem)
    }

    #[test]
    fn what_does_not_belong_together_is_refused_and_changes_nothing() {
        let (dir, ours, others) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (ours, others) = (authority(ours.path()), authority(others.path()));
        let ((key, certificate), (other_key, _)) = (certified(&ours), certified(&ours));
        Credentials::store(dir.path(), &key, &certificate, ours.certificate_pem()).unwrap();
        let files = || ["identity.pem", "ca.pem"].map(|file| std::fs::read(dir.path().join(file)).unwrap());
        let before = files();
        for (key, certificate, authority) in [
            (&other_key, certificate.as_str(), ours.certificate_pem()),
            (&key, &certificate, others.certificate_pem()),
            (&key, ours.certificate_pem(), ours.certificate_pem()),
            (&key, &certificate, ""),
            (&key, "", ours.certificate_pem()),
        ] {
            let stored = Credentials::store(dir.path(), key, certificate, authority);
            assert!(matches!(stored, Err(IdentityError::Mismatch(_))), "{stored:?}");
            assert_eq!(files(), before);
        }
    }

    #[test]
    fn one_file_is_all_that_is_read() {
        let (dir, of) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let authority = authority(of.path());
        let (key, certificate) = certified(&authority);
        Credentials::store(dir.path(), &key, &certificate, authority.certificate_pem()).unwrap();
        std::fs::write(dir.path().join("ca.pem"), "another's").unwrap();
        let loaded = Credentials::load(dir.path()).unwrap();
        assert_eq!(loaded.authority(), authority.certificate());
        assert!(!loaded.is_due());
        let path = dir.path().join("identity.pem");
        let parted = std::fs::read_to_string(&path).unwrap().replace(authority.certificate_pem(), "");
        std::fs::write(&path, parted).unwrap();
        let damaged = Credentials::load(dir.path()).unwrap_err().to_string();
        assert!(damaged.contains("identity.pem is damaged"), "{damaged}");
    }
}
