//! A boot cache that was captured by one firmware does not serve VMs that boot by the other.

use bootstash_base::error::Classified;
use bootstash_base::names::ImageName;
use bootstash_delta::catalog::Manifest;
use bootstash_disk::firmware::Firmware;

/// The image is registered, and was booted by the other firmware.
#[derive(Debug, thiserror::Error, Classified)]
#[error(
    "image {name} is already registered, and was booted by {registered}; `bootstash deregister {name}` first"
)]
#[class(permanent)]
pub struct OtherFirmwareError {
    /// The image, by its registered name.
    name: ImageName,
    /// What booted it.
    registered: Firmware,
}

/// Refuses an image that is asked for with a firmware which is not the one that booted it.
///
/// # Errors
/// When it is not.
pub fn refuse_other_firmware(asked: Option<Firmware>, manifest: &Manifest) -> Result<(), OtherFirmwareError> {
    let registered = manifest.source.firmware;
    match asked {
        Some(asked) if asked != registered => {
            Err(OtherFirmwareError { name: manifest.name.clone(), registered })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::manifest;
    use super::*;

    #[test]
    fn only_what_is_asked_for_has_to_fit() {
        let manifest = manifest("debian12");
        for asked in [None, Some(Firmware::Bios)] {
            refuse_other_firmware(asked, &manifest).unwrap();
        }
        let error = refuse_other_firmware(Some(Firmware::Uefi), &manifest).unwrap_err().to_string();
        assert!(error.contains("booted by BIOS; `bootstash deregister debian12`"), "{error}");
    }
}
