//! KVM or emulation: decided once, by running a guest.
//!
//! `/dev/kvm` can exist and hang, and a single ioctl passes where whole guests hang; so a boot sector
//! must come through the firmware and say so within a deadline.

use super::confine::{Bounds, Confined};
use super::place::Place;
use super::run;
use super::spec::platform;
use super::{HardwareProfile, Qemu};
use bootstash_base::error::Classified;
use nix::unistd::Gid;
use serde::Deserialize;
use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

const PROBE_DEADLINE: Duration = Duration::from_secs(5);
const PROBE_MEMORY_MIB: u32 = 64;
const PROBE_TASKS: u32 = 96;
const PROBE_DISK: &str = "disk";
const KVM: &str = "/dev/kvm";
/// QEMU's exit status after the guest writes 0x2a to `isa-debug-exit`.
const PROBE_STATUS: i32 = 0x55;

/// What runs guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AcceleratorChoice {
    /// KVM where a probe guest runs, else TCG.
    Auto,
    /// KVM; an error where it does not work.
    Kvm,
    /// QEMU's own emulation: slow, and needs nothing of the host.
    Tcg,
}

/// What runs a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor's virtualization.
    Kvm,
    /// QEMU's own emulation: slow, and needs nothing of the host.
    Tcg,
}

/// KVM was demanded and does not work.
#[derive(Debug, thiserror::Error, Classified)]
#[error("KVM does not work on this host: {why}; mend it, or configure accelerator = \"auto\" or \"tcg\"")]
#[class(operator)]
pub struct AcceleratorError {
    /// What the probe met.
    why: String,
}

impl Accelerator {
    /// As QEMU spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }

    /// The group whose members may use it: `/dev/kvm`'s, but never that of root.
    pub(super) fn group(self) -> Option<Gid> {
        match self {
            Self::Kvm => std::fs::metadata(KVM).ok().map(|device| device.gid()).filter(|&gid| gid != 0),
            Self::Tcg => None,
        }
        .map(Gid::from_raw)
    }
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Qemu {
    /// The accelerator to use where the configuration says `wanted`. The first call that has to know
    /// about KVM takes up to 5 s, later ones nothing.
    ///
    /// # Errors
    /// Where KVM is demanded and a guest does not run under it.
    pub async fn accelerator(&self, wanted: AcceleratorChoice) -> Result<Accelerator, AcceleratorError> {
        if wanted == AcceleratorChoice::Tcg {
            return Ok(Accelerator::Tcg);
        }
        let verdict = self.kvm_verdict().get_or_init(|| self.probe_kvm()).await;
        match (verdict, wanted) {
            (None, _) => Ok(Accelerator::Kvm),
            (Some(why), AcceleratorChoice::Kvm) => Err(AcceleratorError { why: why.clone() }),
            (Some(why), _) => {
                tracing::debug!(why, "guests run under emulation");
                Ok(Accelerator::Tcg)
            }
        }
    }

    /// Why KVM does not work; `None` where it does.
    async fn probe_kvm(&self) -> Option<String> {
        if !Path::new(KVM).exists() {
            return Some("there is no /dev/kvm".to_owned());
        }
        self.boot_probe(Accelerator::Kvm, PROBE_DEADLINE).await.err()
    }

    async fn boot_probe(&self, accelerator: Accelerator, deadline: Duration) -> Result<(), String> {
        let place = probe_place().map_err(|error| format!("no boot sector could be written: {error}"))?;
        // The very machine that guests get, with the same rights: another can run where theirs does not.
        let mut args = platform(accelerator, HardwareProfile::Libvirt, PROBE_MEMORY_MIB, 1);
        args.extend(run::args([
            &"-nic",
            &"none",
            &"-serial",
            &"stdio",
            &"-device",
            &"isa-debug-exit,iobase=0xf4,iosize=1",
            &"-drive",
            &format!("file={PROBE_DISK},format=raw,if=none,id=probe,readonly=on"),
            &"-device",
            &"virtio-blk-pci,drive=probe,bootindex=1",
        ]));
        let bounds = Bounds {
            memory_bytes: 4 << 30,
            cpu: Some(2 * deadline),
            file_bytes: Some(0),
            tasks: PROBE_TASKS,
        };
        let programs = self.programs();
        let confined =
            Confined { programs, bounds, place: Some(&place), group: accelerator.group(), background: false };
        let end = run::run(&confined, &programs.system, &args, deadline).await;
        match end {
            Ok(end) if end.status.code() == Some(PROBE_STATUS) && end.stdout.contains(&b'K') => Ok(()),
            Ok(end) if end.stderr.is_empty() => Err(format!("a probe guest ended with {}", end.status)),
            Ok(end) => Err(end.stderr),
            Err(super::QemuFailure::Deadline { after, .. }) => {
                Err(format!("a probe guest did not answer within {} s", after.as_secs()))
            }
            Err(failure) => Err(bootstash_base::error::Chain(&failure).to_string()),
        }
    }
}

/// A place with a disk whose boot sector prints `K` on the first serial port and ends QEMU.
fn probe_place() -> io::Result<Place> {
    #[rustfmt::skip]
    const CODE: [u8; 15] = [
        0xba, 0xf8, 0x03, 0xb0, b'K', 0xee, // mov dx, 0x3f8; mov al, 'K'; out dx, al
        0xba, 0xf4, 0x00, 0xb0, 0x2a, 0xee, // mov dx, 0xf4; mov al, 0x2a; out dx, al
        0xf4, 0xeb, 0xfd,                   // hlt; jmp to hlt
    ];
    let mut disk = vec![0; 1440 * 1024];
    disk[..CODE.len()].copy_from_slice(&CODE);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    let place = Place::create_in(&std::env::temp_dir())?;
    std::fs::write(place.path().join(PROBE_DISK), disk)?;
    place.hand_over(PROBE_DISK)?;
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probe_disk_is_bootable() {
        let place = probe_place().unwrap();
        let bytes = std::fs::read(place.path().join(PROBE_DISK)).unwrap();
        assert_eq!((bytes.len(), &bytes[510..512]), (1_474_560, &[0x55, 0xaa][..]));
    }
}
