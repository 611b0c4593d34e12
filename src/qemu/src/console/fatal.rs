//! What a guest prints that will not come up by itself, in the words of those who print it.
//!
//! Asked at each character, of the line as far as it was printed, as boot loaders' and rescue shells' prompts do not
//! end theirs.

use std::fmt;

/// Why a guest will not come up by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fatal {
    /// The firmware finds nothing to boot from.
    NothingToBoot,
    /// GRUB does not find its files.
    GrubRescue,
    /// GRUB has no menu to boot from.
    GrubShell,
    /// The kernel panicked.
    KernelPanic,
    /// The initial RAM disk ended in its rescue shell.
    InitialRamDisk,
    /// The kernel asks which root file system to mount.
    NoRoot,
    /// The system waits in emergency or rescue mode.
    EmergencyMode,
}

impl Fatal {
    /// Whether another try may come up: a kernel can panic when its virtual processors are starved.
    pub fn may_be_chance(self) -> bool {
        matches!(self, Self::KernelPanic)
    }
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NothingToBoot => "the firmware finds nothing to boot from",
            Self::GrubRescue => "its boot loader does not find its files",
            Self::GrubShell => "its boot loader has no menu to boot from",
            Self::KernelPanic => "its kernel panicked",
            Self::InitialRamDisk => {
                "its initial RAM disk does not find the root file system, and waits in a rescue shell"
            }
            Self::NoRoot => "its kernel does not find the root file system, and asks for another",
            Self::EmergencyMode => "it came up in emergency or rescue mode, and waits there",
        })
    }
}

/// Whether the line's end says so.
pub(super) fn said(line: &str) -> Option<Fatal> {
    let known = SAID.iter().find(|(words, _)| line.ends_with(words)).map(|(_, fatal)| *fatal);
    known.or_else(|| prompts(line))
}

/// SeaBIOS, boot sectors and OVMF; GRUB; SYSLINUX; Linux and FreeBSD; initramfs-tools, dracut (two ways), Alpine,
/// mkinitcpio, NixOS; FreeBSD; systemd (now and before version 231), sulogin.
const SAID: [(&str, Fatal); 26] = [
    ("No bootable device", Fatal::NothingToBoot),
    ("Missing operating system", Fatal::NothingToBoot),
    ("Error loading operating system", Fatal::NothingToBoot),
    ("No bootable option or device was found", Fatal::NothingToBoot),
    ("UEFI Interactive Shell", Fatal::NothingToBoot),
    ("grub rescue>", Fatal::GrubRescue),
    ("grub>", Fatal::GrubShell),
    ("No DEFAULT or UI configuration directive found", Fatal::GrubShell),
    ("Kernel panic - not syncing", Fatal::KernelPanic),
    ("KDB: enter: panic", Fatal::KernelPanic),
    ("(initramfs)", Fatal::InitialRamDisk),
    ("Dropping to a shell!", Fatal::InitialRamDisk),
    ("Entering emergency mode. Exit the shell to continue", Fatal::InitialRamDisk),
    ("Press Enter for emergency shell", Fatal::InitialRamDisk),
    ("initramfs emergency recovery shell launched", Fatal::InitialRamDisk),
    ("You are now being dropped into an emergency shell", Fatal::InitialRamDisk),
    ("An error occurred in stage 1 of the boot process", Fatal::InitialRamDisk),
    ("mountroot>", Fatal::NoRoot),
    ("You are in emergency mode", Fatal::EmergencyMode),
    ("You are in rescue mode", Fatal::EmergencyMode),
    ("Welcome to emergency mode", Fatal::EmergencyMode),
    ("Welcome to rescue mode", Fatal::EmergencyMode),
    ("Give root password for maintenance", Fatal::EmergencyMode),
    ("Press Enter for maintenance", Fatal::EmergencyMode),
    ("Cannot open access to console, the root account is locked", Fatal::EmergencyMode),
    ("Enter root password for system maintenance", Fatal::EmergencyMode),
];

/// Prompts with a directory in them: dracut's `dracut:/#`, mkinitcpio's `[rootfs ~]#`.
fn prompts(line: &str) -> Option<Fatal> {
    let (before, line) = (line.strip_suffix('#')?, line.trim_start());
    let of_dracut = line.starts_with("dracut:/");
    let of_mkinitcpio = line.starts_with("[rootfs ") && before.ends_with(']');
    (of_dracut || of_mkinitcpio).then_some(Fatal::InitialRamDisk)
}
