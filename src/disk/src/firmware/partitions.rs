//! What the partitions of a disk are for, as far as firmware goes by it.

use std::io;

/// Sectors of a disk as guests see them.
pub(super) const SECTOR_BYTES: u64 = 512;
/// The part of the first sector that is code.
pub(super) const BOOT_CODE_BYTES: usize = 440;
/// No tool makes a table of more: 128 entries of 128 bytes are usual.
const TABLE_MAX_BYTES: u64 = 64 << 10;
const ENTRY_BYTES: std::ops::RangeInclusive<usize> = 128..=4096;

/// C12A7328-F81F-11D2-BA4B-00A0C93EC93B, as it lies on disk.
const EFI_SYSTEM: [u8; 16] =
    [0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b];
/// 21686148-6449-6E6F-744E-656564454649: where GRUB has what its boot sector loads.
const BIOS_BOOT: [u8; 16] = *b"Hah!IdontNeedEFI";
/// 83BD6B9D-7F41-11DC-BE0B-001560B84F0F: the same for FreeBSD.
const FREEBSD_BOOT: [u8; 16] =
    [0x9d, 0x6b, 0xbd, 0x83, 0x41, 0x7f, 0xdc, 0x11, 0xbe, 0x0b, 0x00, 0x15, 0x60, 0xb8, 0x4f, 0x0f];
/// Attribute of a partition that syslinux's boot sector loads from.
const LEGACY_BIOS_BOOTABLE: u64 = 1 << 2;

/// In the first sector: four entries of 16 bytes.
const MBR_TABLE: std::ops::Range<usize> = 446..510;
const MBR_EFI_SYSTEM: u8 = 0xef;
const MBR_ACTIVE: u8 = 0x80;

/// What there is for firmware to go on from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Partitions {
    /// Whether the disk has a GPT; else what counts is in its first sector.
    pub(super) is_gpt: bool,
    pub(super) efi_system: bool,
    /// A partition that is there for boot code to load from.
    pub(super) bios_loader: bool,
}

impl Partitions {
    /// Those of a disk that begins with `first`: of its GPT, or the copy at its end, or of its MBR.
    pub(super) fn read(
        first: &[u8],
        disk_bytes: u64,
        mut read: impl FnMut(&mut [u8], u64) -> io::Result<()>,
    ) -> io::Result<Self> {
        let mut found = Self::of_mbr(first);
        let last_sector = (disk_bytes / SECTOR_BYTES).saturating_sub(1);
        for header_at in [1, last_sector].map(|sector| sector * SECTOR_BYTES) {
            if header_at == 0 || header_at + SECTOR_BYTES > disk_bytes {
                continue;
            }
            let mut header = [0; SECTOR_BYTES as usize];
            read(&mut header, header_at)?;
            let Some(table) = Table::of(&header, disk_bytes) else { continue };
            let mut entries = vec![0; table.bytes];
            read(&mut entries, table.offset)?;
            found.is_gpt = true;
            entries.chunks_exact(table.entry_bytes).for_each(|entry| found.add(entry));
            break;
        }
        Ok(found)
    }

    fn of_mbr(first: &[u8]) -> Self {
        let entries = || first.get(MBR_TABLE).unwrap_or_default().chunks_exact(16);
        let is_used = |entry: &&[u8]| entry[4] != 0;
        Self {
            is_gpt: false,
            efi_system: entries().any(|entry| entry[4] == MBR_EFI_SYSTEM),
            bios_loader: entries().filter(is_used).any(|entry| entry[0] == MBR_ACTIVE),
        }
    }

    fn add(&mut self, entry: &[u8]) {
        let is = |kind: [u8; 16]| entry.starts_with(&kind);
        self.efi_system |= is(EFI_SYSTEM);
        let legacy = number(entry, 48, 8) & LEGACY_BIOS_BOOTABLE != 0;
        self.bios_loader |= is(BIOS_BOOT) || is(FREEBSD_BOOT) || legacy && !is([0; 16]);
    }
}

/// Where a GPT has its entries.
struct Table {
    offset: u64,
    bytes: usize,
    entry_bytes: usize,
}

impl Table {
    /// Of a header; nothing where it is none, or its table does not lie in the disk. A checksum that does not fit is
    /// for the firmware to complain of.
    fn of(header: &[u8], disk_bytes: u64) -> Option<Self> {
        if !header.starts_with(b"EFI PART") {
            return None;
        }
        let offset = number(header, 72, 8).checked_mul(SECTOR_BYTES)?;
        let entry_bytes = usize::try_from(number(header, 84, 4)).ok()?;
        if !ENTRY_BYTES.contains(&entry_bytes) {
            return None;
        }
        let claimed = number(header, 80, 4) * entry_bytes as u64;
        let bytes = claimed.min(TABLE_MAX_BYTES);
        let fits = offset.checked_add(bytes)? <= disk_bytes;
        fits.then_some(Self { offset, bytes: usize::try_from(bytes).ok()?, entry_bytes })
    }
}

/// A little-endian number of so many bytes; zero where there is none.
fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    let bytes = bytes.get(at..at + length).unwrap_or_default();
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}
