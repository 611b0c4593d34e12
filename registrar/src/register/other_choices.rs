//! An image that is registered is what was asked for only if it was captured as asked.

use bootstash_base::error::Classified;
use bootstash_base::names::ImageName;
use bootstash_delta::catalog::Manifest;
use bootstash_disk::firmware::Firmware;
use bootstash_net::api::CaptureChoices;
use bootstash_qemu::HardwareProfile;

/// The image is registered, and was captured in another way.
#[derive(Debug, thiserror::Error, Classified)]
#[class(permanent)]
pub enum OtherChoicesError {
    /// The other firmware booted it.
    #[error(
        "image {name} is already registered, and was booted by {registered}; `bootstash deregister {name}` first"
    )]
    Firmware {
        /// The image, by its registered name.
        name: ImageName,
        /// What booted it.
        registered: Firmware,
    },
    /// What VMs on such hardware read is not in its cache.
    #[error(
        "image {name} is already registered, and was not booted on the hardware profile {profile}; `bootstash \
         deregister {name}` first"
    )]
    Profile {
        /// The image, by its registered name.
        name: ImageName,
        /// Which is lacking.
        profile: HardwareProfile,
    },
}

/// Refuses an image that is asked for with a firmware or a hardware profile which is not among those that booted it.
///
/// # Errors
/// When it is not.
pub fn refuse_other_choices(asked: &CaptureChoices, manifest: &Manifest) -> Result<(), OtherChoicesError> {
    let (name, registered) = (manifest.name.clone(), manifest.source.firmware);
    if asked.firmware.is_some_and(|asked| asked != registered) {
        return Err(OtherChoicesError::Firmware { name, registered });
    }
    let profiles: Vec<HardwareProfile> = asked.profiles.clone().map(Into::into).unwrap_or_default();
    match profiles.into_iter().find(|profile| !has_booted_on(*profile, manifest)) {
        Some(profile) => Err(OtherChoicesError::Profile { name, profile }),
        None => Ok(()),
    }
}

/// One that it did not come up on was tried, too.
fn has_booted_on(profile: HardwareProfile, manifest: &Manifest) -> bool {
    let booted = manifest.boots.iter().filter_map(|boot| boot.profile.as_deref());
    let tried = manifest.unbooted.iter().map(|unbooted| unbooted.profile.as_str());
    booted.chain(tried).any(|it| it == profile.as_str())
}

#[cfg(test)]
mod tests {
    use super::super::testing::manifest;
    use super::*;

    fn refused(asked: CaptureChoices, profile: Option<&str>) -> Option<String> {
        let mut manifest = manifest("debian12");
        manifest.boots[0].profile = profile.map(str::to_owned);
        refuse_other_choices(&asked, &manifest).err().map(|error| error.to_string())
    }

    fn by(firmware: Option<Firmware>) -> CaptureChoices {
        CaptureChoices { firmware, ..CaptureChoices::default() }
    }

    fn on(profiles: &str) -> CaptureChoices {
        CaptureChoices { profiles: Some(profiles.parse().unwrap()), ..CaptureChoices::default() }
    }

    #[test]
    fn only_what_is_asked_for_has_to_fit() {
        for asked in [by(None), by(Some(Firmware::Bios)), on("openstack")] {
            assert_eq!(refused(asked, Some("openstack")), None);
        }
        let error = refused(by(Some(Firmware::Uefi)), None).unwrap();
        assert!(error.contains("booted by BIOS; `bootstash deregister debian12`"), "{error}");
    }

    #[test]
    fn a_profile_that_it_was_not_booted_on_is_refused_and_so_is_one_that_nobody_knows_of() {
        for booted_on in [Some("libvirt"), None] {
            let error = refused(on("libvirt,openstack"), booted_on).unwrap();
            let lacks = if booted_on.is_some() { "profile openstack;" } else { "profile libvirt;" };
            assert!(error.contains(lacks) && error.contains("`bootstash deregister debian12`"), "{error}");
        }
    }
}
