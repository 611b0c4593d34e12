//! Who we are: a key, its certificate, and the authority's, in a directory of ours.
//!
//! `identity.pem` (certificate and key, 0600) is replaced as one, so that a crash never parts the two;
//! `authority.pem` of the registrar's own directory is another matter, see [`super::Authority`].

use super::certificate::{self, Facts};
use super::{Identity, IdentityError, KeyRequest, Serial, TokenDigest};
use crate::lifecycle::{replace_file, replace_secret_file};
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
        let ca = dir.join(AUTHORITY);
        let authority = CertificateDer::from_pem_file(&ca);
        let authority = authority.map_err(|source| damaged(&ca, source))?;
        let leaf = CertificateDer::from_pem_slice(text.as_bytes()).map_err(|e| damaged(&path, e))?;
        let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|e| damaged(&path, e))?;
        let facts = certificate::read(&leaf)?;
        let provider = rustls::crypto::ring::default_provider();
        let chain = vec![leaf, authority.clone()];
        let certified = CertifiedKey::from_der(chain, key, &provider).map_err(|e| damaged(&path, e))?;
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
        make_dir(dir)?;
        let leaf = CertificateDer::from_pem_slice(certificate_pem.as_bytes());
        certificate::read(&leaf.map_err(|_| IdentityError::Foreign)?)?;
        let write = |name: &str, text: &str| {
            let path = dir.join(name);
            replace_secret_file(&path, text.as_bytes()).map_err(|source| IdentityError::Io { path, source })
        };
        write(AUTHORITY, authority_pem)?;
        write(IDENTITY, &format!("{certificate_pem}{}", request.key_pem()))
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

    /// From when on a new one is to be asked for: a third of its time is left for that to succeed in.
    pub fn renew_at(&self) -> DateTime<Utc> {
        self.facts.expires - (self.facts.expires - self.facts.issued) / 3
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
