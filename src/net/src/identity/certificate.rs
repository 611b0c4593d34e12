//! What a certificate says. Pure.

use super::{Identity, IdentityError, Serial};
use chrono::{DateTime, Utc};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// The part of a certificate that we go by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) identity: Identity,
    pub(super) serial: Serial,
    pub(super) issued: DateTime<Utc>,
    pub(super) expires: DateTime<Utc>,
}

/// Reads a certificate (DER), whose signature somebody else looks at.
pub(super) fn read(der: &[u8]) -> Result<Facts, IdentityError> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| IdentityError::Foreign)?;
    let validity = certificate.validity();
    let time = |seconds| DateTime::from_timestamp(seconds, 0).ok_or(IdentityError::Foreign);
    Ok(Facts {
        identity: Identity::from_uri(only_uri(&certificate)?)?,
        serial: Serial::of(certificate.raw_serial()),
        issued: time(validity.not_before.timestamp())?,
        expires: time(validity.not_after.timestamp())?,
    })
}

/// One name only: a certificate with two would be whoever the reader looks for.
fn only_uri<'a>(certificate: &'a X509Certificate<'_>) -> Result<&'a str, IdentityError> {
    let names = certificate.subject_alternative_name().ok().flatten().ok_or(IdentityError::Foreign)?;
    let mut uris = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    match (uris.next(), uris.next()) {
        (Some(uri), None) => Ok(uri),
        _ => Err(IdentityError::Foreign),
    }
}
