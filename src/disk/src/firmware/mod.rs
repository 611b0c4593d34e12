//! Which firmware boots a disk, a PC's BIOS or UEFI, by its boot sector and its partition table. Pure.
//!
//! Promises: a disk is hostile; what is read of it is bounded and lies within it, whatever its table says. The crate
//! `gpt` does not serve here: it wants a device that can be written, and takes sizes as the header gives them.

mod partitions;

use partitions::{BOOT_CODE_BYTES, Partitions, SECTOR_BYTES};
use serde::{Deserialize, Serialize};
use std::{fmt, io};

/// Firmware of a PC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Firmware {
    /// It runs the disk's first sector.
    #[default]
    Bios,
    /// It runs a program from the disk's EFI system partition.
    Uefi,
}

impl Firmware {
    /// As an option spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bios => "bios",
            Self::Uefi => "uefi",
        }
    }
}

impl fmt::Display for Firmware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Bios => "BIOS",
            Self::Uefi => "UEFI",
        })
    }
}

/// What a disk's first sectors tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recognised {
    /// The firmware to boot it with.
    pub firmware: Firmware,
    /// Why, as the end of a sentence: "because …".
    pub why: &'static str,
}

/// Recognises the firmware that boots a disk of `disk_bytes`, which `read` reads from an offset.
///
/// # Errors
/// What reading met.
pub fn recognise(
    disk_bytes: u64,
    mut read: impl FnMut(&mut [u8], u64) -> io::Result<()>,
) -> io::Result<Recognised> {
    if disk_bytes < SECTOR_BYTES {
        return Ok(judge(BiosWay::None, false));
    }
    let mut first = [0; SECTOR_BYTES as usize];
    read(&mut first, 0)?;
    let partitions = Partitions::read(&first, disk_bytes, read)?;
    Ok(judge(BiosWay::of(&first, &partitions), partitions.efi_system))
}

/// How far a BIOS gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BiosWay {
    /// No code in the first sector.
    None,
    /// There is some, and none that it could load: so Windows leaves disks that it boots by UEFI.
    DeadEnd,
    /// There is some, and it can go on.
    Open,
}

impl BiosWay {
    fn of(first: &[u8; SECTOR_BYTES as usize], partitions: &Partitions) -> Self {
        let code = &first[..BOOT_CODE_BYTES];
        let is_run = first.ends_with(&[0x55, 0xaa]) && code.iter().any(|&byte| byte != 0);
        // GRUB's code knows by its own numbers where the rest of it is.
        let goes_on = !partitions.is_gpt || partitions.bios_loader || holds(code, b"GRUB");
        match (is_run, goes_on) {
            (false, _) => Self::None,
            (true, false) => Self::DeadEnd,
            (true, true) => Self::Open,
        }
    }
}

fn holds(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

fn judge(bios: BiosWay, efi_system: bool) -> Recognised {
    let (firmware, why) = match (bios, efi_system) {
        (BiosWay::Open, true) => {
            (Firmware::Bios, "it boots by BIOS as by UEFI, and BIOS is what hypervisors boot by default")
        }
        (BiosWay::Open, false) => {
            (Firmware::Bios, "it has a boot loader for BIOS and no EFI system partition")
        }
        (BiosWay::None, true) => (Firmware::Uefi, "it has an EFI system partition and no boot code for BIOS"),
        (BiosWay::DeadEnd, true) => (
            Firmware::Uefi,
            "it has an EFI system partition, and boot code for BIOS that finds nothing to load",
        ),
        (_, false) => (Firmware::Bios, "it has neither an EFI system partition nor a boot loader for BIOS"),
    };
    Recognised { firmware, why }
}

#[cfg(test)]
mod tests;
