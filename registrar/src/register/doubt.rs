//! Whether a cache is trusted as far as whoever registers its image demands.

use bootstash_base::error::Classified;
use bootstash_base::names::ImageName;
use bootstash_delta::catalog::{Confidence, Doubt, Manifest};

/// High confidence was demanded, and is not there.
#[derive(Debug, thiserror::Error, Classified)]
#[error(
    "the boot cache of {name} is trusted little, and high confidence was required: {doubt} \
     (register it without --require, or see to what is said here)"
)]
#[class(permanent)]
pub struct DoubtError {
    name: ImageName,
    doubt: Doubt,
}

/// Refuses what is trusted less than is `required`.
///
/// # Errors
/// With the reason for the doubt.
pub fn refuse_doubt(required: Option<Confidence>, manifest: &Manifest) -> Result<(), DoubtError> {
    match (required, manifest.doubt()) {
        (Some(Confidence::High), Some(doubt)) => Err(DoubtError { name: manifest.name.clone(), doubt }),
        _ => Ok(()),
    }
}
