//! Hardware profiles: the machines that platforms give to VMs if nobody asks for another. Pure.
//!
//! A guest reads files for each device it finds, so a capture boots on the hardware that VMs have. What a
//! profile consists of is fixed; accelerator, memory, processors and the disk's content are not part of it.

use bootstash_base::error::Classified;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fmt;
use std::str::FromStr;

/// Names of a guest's backends, which its devices refer to.
pub(super) const NETWORK: &str = "network";
pub(super) const DISK: &str = "overlay";

/// A machine as a platform makes it by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum HardwareProfile {
    /// `virt-install`'s: q35, every device on a PCIe root port, virtio-blk, virtio-vga, a USB tablet on xHCI.
    Libvirt,
    /// Nova's: i440fx, every device on one PCI bus, virtio-blk, Cirrus VGA, a USB tablet on UHCI.
    OpenStack,
    /// As [`Libvirt`](Self::Libvirt), with its disk on virtio-scsi, and standard VGA.
    LibvirtScsi,
}

/// No profile has this name.
#[derive(Debug, thiserror::Error, Classified)]
#[error("there is no hardware profile {name:?}; there are: {}", known())]
#[class(permanent)]
pub struct UnknownProfile {
    /// The name.
    name: String,
}

/// The profiles of one capture, in order: at least one, each once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<HardwareProfile>", into = "Vec<HardwareProfile>")]
pub struct HardwareProfiles(Vec<HardwareProfile>);

/// A list that cannot be the profiles of a capture.
#[derive(Debug, thiserror::Error, Classified)]
#[class(permanent)]
pub enum ProfilesError {
    /// There is nothing to boot on.
    #[error("no hardware profile is given; give at least one of: {}", known())]
    Empty,
    /// One is there twice.
    #[error("the hardware profile {profile} is given twice; each is booted in turn anyway")]
    Repeated {
        /// Which.
        profile: HardwareProfile,
    },
    /// One is not known.
    #[error(transparent)]
    Unknown(#[from] UnknownProfile),
}

impl HardwareProfile {
    /// All of them, in the order in which a capture boots them by default.
    pub const ALL: [Self; 3] = [Self::Libvirt, Self::OpenStack, Self::LibvirtScsi];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Libvirt => "libvirt",
            Self::OpenStack => "openstack",
            Self::LibvirtScsi => "libvirt-scsi",
        }
    }

    /// QEMU's machine type.
    pub(super) fn machine(self) -> &'static str {
        match self {
            Self::Libvirt | Self::LibvirtScsi => "q35",
            Self::OpenStack => "pc",
        }
    }

    /// All devices but the disk. The network card is attached to [`NETWORK`].
    pub(super) fn devices(self) -> Vec<OsString> {
        let mut devices = match self {
            Self::Libvirt | Self::LibvirtScsi => (1..=ROOT_PORTS).map(root_port).collect(),
            Self::OpenStack => Vec::new(),
        };
        devices.push(self.video().to_owned());
        // Its boot ROM would have the firmware try a network that is not there.
        devices.push(format!("virtio-net-pci,netdev={NETWORK},romfile={}", self.bus(1)));
        devices.push(format!("{},id=usb{}", self.usb_controller(), self.bus(2)));
        devices.push("usb-tablet,bus=usb.0".to_owned());
        devices.push(format!("virtio-serial-pci{}", self.bus(3)));
        devices.push(format!("virtio-balloon-pci{}", self.bus(5)));
        devices.push(format!("virtio-rng-pci{}", self.bus(6)));
        options(devices)
    }

    /// The disk that the firmware boots from, of the block node [`DISK`].
    pub(super) fn disk(self) -> Vec<OsString> {
        // A write that finds no room is the guest's to meet; to stop it would only have everybody wait.
        let drive = format!("drive={DISK},id=disk,bootindex=1,werror=report");
        options(match self {
            Self::Libvirt | Self::OpenStack => vec![format!("virtio-blk-pci,{drive}{}", self.bus(4))],
            Self::LibvirtScsi => {
                vec![format!("virtio-scsi-pci,id=scsi{}", self.bus(4)), format!("scsi-hd,bus=scsi.0,{drive}")]
            }
        })
    }

    fn video(self) -> &'static str {
        match self {
            Self::Libvirt => "virtio-vga",
            Self::OpenStack => "cirrus-vga",
            Self::LibvirtScsi => "VGA",
        }
    }

    fn usb_controller(self) -> &'static str {
        match self {
            Self::Libvirt | Self::LibvirtScsi => "qemu-xhci",
            Self::OpenStack => "piix3-usb-uhci",
        }
    }

    /// Where a device is put: on a root port of its own, or wherever there is room on the only bus.
    pub(super) fn bus(self, port: u32) -> String {
        match self {
            Self::Libvirt | Self::LibvirtScsi => format!(",bus=port{port}"),
            Self::OpenStack => String::new(),
        }
    }
}

/// One for each device that is put on one, and two for what an operator adds.
const ROOT_PORTS: u32 = 8;

fn root_port(number: u32) -> String {
    format!("pcie-root-port,id=port{number},chassis={number}")
}

fn options(devices: Vec<String>) -> Vec<OsString> {
    devices.into_iter().flat_map(|device| [OsString::from("-device"), device.into()]).collect()
}

fn known() -> String {
    HardwareProfile::ALL.map(HardwareProfile::as_str).join(", ")
}

impl fmt::Display for HardwareProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for HardwareProfile {
    type Err = UnknownProfile;

    fn from_str(name: &str) -> Result<Self, UnknownProfile> {
        let found = Self::ALL.into_iter().find(|profile| profile.as_str() == name);
        found.ok_or_else(|| UnknownProfile { name: name.to_owned() })
    }
}

impl TryFrom<String> for HardwareProfile {
    type Error = UnknownProfile;

    fn try_from(name: String) -> Result<Self, UnknownProfile> {
        name.parse()
    }
}

impl From<HardwareProfile> for &'static str {
    fn from(profile: HardwareProfile) -> Self {
        profile.as_str()
    }
}

impl HardwareProfiles {
    /// The profile of a boot, which are counted from 1: one after the other, then from the first again.
    pub fn of_boot(&self, number: u32) -> HardwareProfile {
        self.0[(number as usize).saturating_sub(1) % self.0.len()]
    }

    /// How many there are; at least one.
    pub fn count(&self) -> u32 {
        self.0.len() as u32
    }
}

impl Default for HardwareProfiles {
    fn default() -> Self {
        Self(HardwareProfile::ALL.into())
    }
}

impl From<HardwareProfile> for HardwareProfiles {
    fn from(profile: HardwareProfile) -> Self {
        Self(vec![profile])
    }
}

impl TryFrom<Vec<HardwareProfile>> for HardwareProfiles {
    type Error = ProfilesError;

    fn try_from(profiles: Vec<HardwareProfile>) -> Result<Self, ProfilesError> {
        if profiles.is_empty() {
            return Err(ProfilesError::Empty);
        }
        let mut pairs = profiles.iter().enumerate();
        if let Some((_, &profile)) = pairs.find(|(at, profile)| profiles[..*at].contains(profile)) {
            return Err(ProfilesError::Repeated { profile });
        }
        Ok(Self(profiles))
    }
}

impl From<HardwareProfiles> for Vec<HardwareProfile> {
    fn from(profiles: HardwareProfiles) -> Self {
        profiles.0
    }
}

/// Names with commas between them.
impl FromStr for HardwareProfiles {
    type Err = ProfilesError;

    fn from_str(names: &str) -> Result<Self, ProfilesError> {
        let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
        names.map(str::parse).collect::<Result<Vec<_>, _>>()?.try_into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn devices(profile: HardwareProfile) -> Vec<String> {
        let args = profile.devices().into_iter().chain(profile.disk());
        args.map(|arg| arg.into_string().unwrap()).filter(|arg| arg != "-device").collect()
    }

    fn has(profile: HardwareProfile, models: &[&str]) {
        let devices = devices(profile);
        for model in models {
            let found = devices.iter().any(|device| device.split(',').next() == Some(model));
            assert!(found, "{profile} has no {model}: {devices:?}");
        }
    }

    #[test]
    fn each_has_what_its_platform_gives_by_default() {
        for profile in HardwareProfile::ALL {
            has(
                profile,
                &[
                    "virtio-net-pci",
                    "virtio-balloon-pci",
                    "usb-tablet",
                    "virtio-serial-pci",
                    "virtio-rng-pci",
                ],
            );
        }
        has(HardwareProfile::Libvirt, &["pcie-root-port", "qemu-xhci", "virtio-vga", "virtio-blk-pci"]);
        has(HardwareProfile::OpenStack, &["piix3-usb-uhci", "cirrus-vga", "virtio-blk-pci"]);
        has(HardwareProfile::LibvirtScsi, &["qemu-xhci", "VGA", "virtio-scsi-pci", "scsi-hd"]);
    }

    #[test]
    fn no_root_port_is_used_twice() {
        for profile in [HardwareProfile::Libvirt, HardwareProfile::LibvirtScsi] {
            let devices = devices(profile);
            let port = |device: &String| device.split_once("bus=port").map(|(_, port)| port.to_owned());
            let mut used: Vec<String> = devices.iter().filter_map(port).collect();
            let all = used.len();
            used.sort_unstable();
            used.dedup();
            assert_eq!((used.len(), all), (6, 6), "{devices:?}");
        }
    }

    #[test]
    fn names_are_parsed_once_and_an_unknown_one_is_told_the_known_ones() {
        for profile in HardwareProfile::ALL {
            assert_eq!(profile.to_string().parse::<HardwareProfile>().unwrap(), profile);
            let json = serde_json::to_string(&profile).unwrap();
            assert_eq!(json, format!("\"{profile}\""));
            assert_eq!(serde_json::from_str::<HardwareProfile>(&json).unwrap(), profile);
        }
        let error = "vmware".parse::<HardwareProfile>().unwrap_err().to_string();
        assert_eq!(
            error,
            "there is no hardware profile \"vmware\"; there are: libvirt, openstack, libvirt-scsi"
        );
        let error = serde_json::from_str::<HardwareProfiles>("[\"libvirt\", \"vmware\"]").unwrap_err();
        assert!(error.to_string().contains("there are: libvirt, openstack"), "{error}");
    }

    #[test]
    fn boots_take_turns() {
        let profiles: HardwareProfiles = "openstack, libvirt".parse().unwrap();
        let turns: Vec<&str> = (1..=5).map(|number| profiles.of_boot(number).as_str()).collect();
        assert_eq!(turns, ["openstack", "libvirt", "openstack", "libvirt", "openstack"]);
    }

    #[test]
    fn a_list_is_neither_empty_nor_repeats_itself() {
        let refused = |names: &str| names.parse::<HardwareProfiles>().unwrap_err().to_string();
        assert!(refused("").contains("at least one of: libvirt, openstack"));
        assert!(refused("libvirt,openstack,libvirt").contains("libvirt is given twice"));
        assert!(refused("libvirt,vmware").contains("\"vmware\""));
    }
}
