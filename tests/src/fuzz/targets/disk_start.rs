//! What a disk begins with: archives that are none, and partition tables that tell which firmware boots it.

use crate::fuzz::{Reader, Verdict};
use anyhow::ensure;
use bootstash_disk::firmware::recognise;
use bootstash_disk::formats::{Found, START_BYTES, detect};
use std::io;

const SECTOR_BYTES: usize = 512;
/// C12A7328-F81F-11D2-BA4B-00A0C93EC93B, as it lies on disk.
const EFI_SYSTEM: [u8; 16] =
    [0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b];

/// A disk for UEFI, one that begins with code, and a tar archive with a disk in it.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut uefi = vec![0; 16 * SECTOR_BYTES];
    let mut put = |at: usize, bytes: &[u8]| uefi[at..at + bytes.len()].copy_from_slice(bytes);
    put(450, &[0xee]);
    put(510, &[0x55, 0xaa]);
    put(SECTOR_BYTES, b"EFI PART");
    put(SECTOR_BYTES + 72, &2_u64.to_le_bytes());
    put(SECTOR_BYTES + 80, &8_u32.to_le_bytes());
    put(SECTOR_BYTES + 84, &128_u32.to_le_bytes());
    put(2 * SECTOR_BYTES, &EFI_SYSTEM);
    let mut bios = uefi.clone();
    bios[..4].copy_from_slice(b"GRUB");
    let mut archive = vec![0; 4 * SECTOR_BYTES];
    archive[..9].copy_from_slice(b"disk.vmdk");
    archive[124..135].copy_from_slice(b"00000001000");
    archive[257..262].copy_from_slice(b"ustar");
    vec![uefi, bios, archive]
}

pub(super) fn open() -> Reader {
    Box::new(|bytes| {
        let start = &bytes[..bytes.len().min(START_BYTES)];
        if let Found::Packed(packing) = detect(start, &[]) {
            let remedy = packing.remedy("/srv/a".as_ref());
            ensure!(!remedy.contains(['\n', ';', '$', '`']), "a name got into a command: {remedy}");
        }
        let mut read_bytes = 0;
        let recognised = recognise(bytes.len() as u64, |buffer, offset| {
            let from = usize::try_from(offset).map_err(io::Error::other)?;
            let part = bytes.get(from..from + buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            buffer.copy_from_slice(part);
            read_bytes += buffer.len();
            Ok(())
        })?;
        ensure!(read_bytes <= (64 << 10) + 3 * SECTOR_BYTES, "{read_bytes} bytes were read");
        ensure!(!recognised.why.is_empty(), "no reason");
        Ok(Verdict::Accepted)
    })
}
