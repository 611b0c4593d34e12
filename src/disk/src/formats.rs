//! Which format a file is in, by its own bytes, as QEMU would find out. Pure.
//!
//! QEMU's own search opens what some formats name. Here nothing is opened, and what comes out is given to
//! QEMU from then on, so that it never searches.

mod packing;

pub use packing::Packing;

use crate::ImageFormat;
use crate::qcow2::header;

/// How much of a file's beginning tells its format.
pub const START_BYTES: usize = 64 << 10;
/// How much of its end.
pub const END_BYTES: usize = 512;

/// Magics at the beginning.
const BEGINNINGS: [(&[u8], Found); 11] = [
    (VMDK, Found::Ours(ImageFormat::Vmdk)),
    // Others of VMware's name further files, or may.
    (b"COWD", Found::Foreign("vmdk")),
    (b"# Disk DescriptorFile", Found::Foreign("vmdk")),
    (b"LUKS\xba\xbe", Found::Foreign(LUKS)),
    (b"QED\0", Found::Foreign("qed")),
    (b"vhdxfile", Found::Ours(ImageFormat::Vhdx)),
    (VHD, Found::Ours(ImageFormat::Vpc)),
    (b"WithoutFreeSpace", Found::Foreign("parallels")),
    (b"WithouFreSpacExt", Found::Foreign("parallels")),
    (b"Bochs Virtual HD Image", Found::Foreign("bochs")),
    (b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop", Found::Foreign("cloop")),
];
/// Magics that begin a trailer, the last 512 bytes of a file.
const ENDINGS: [(&[u8], Found); 2] = [(b"koly", Found::Foreign("dmg")), (VHD, Found::Ours(ImageFormat::Vpc))];
const VMDK: &[u8] = b"KDMV";
const VHD: &[u8] = b"conectix";
const VDI_AT: usize = 0x40;
const VDI: [u8; 4] = 0xbeda_107f_u32.to_le_bytes();
/// QEMU looks no further for a descriptor.
const DESCRIPTOR_BYTES: usize = 2048;
/// The one that is no image format but a way to encrypt one.
pub const LUKS: &str = "luks";

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// One of ours.
    Ours(ImageFormat),
    /// Another, by QEMU's name.
    Foreign(&'static str),
    /// No disk image, but what one may be in.
    Packed(Packing),
}

/// Finds out what begins and ends so.
pub fn detect(start: &[u8], end: &[u8]) -> Found {
    match header::version(start) {
        Some(1) => return Found::Foreign("qcow"),
        // One without a version, too: its header is judged, and refused, as that of a qcow2 file.
        _ if header::is_qcow(start) => return Found::Ours(ImageFormat::Qcow2),
        _ => (),
    }
    if let Some(packing) = Packing::of(start) {
        return Found::Packed(packing);
    }
    let named = |of: &[(&[u8], Found)], bytes: &[u8]| {
        of.iter().find(|(magic, _)| bytes.starts_with(magic)).map(|(_, found)| found.clone())
    };
    let has_vdi_magic = start.get(VDI_AT..).is_some_and(|rest| rest.starts_with(&VDI));
    let vdi = || has_vdi_magic.then_some(Found::Ours(ImageFormat::Vdi));
    let vmdk = || is_vmdk_descriptor(start).then_some(Found::Foreign("vmdk"));
    let found = named(&BEGINNINGS, start).or_else(vdi).or_else(vmdk).or_else(|| named(&ENDINGS, end));
    found.unwrap_or(Found::Ours(ImageFormat::Raw))
}

/// Whether a file that begins and ends so can be in `format`.
pub fn can_be(format: ImageFormat, start: &[u8], end: &[u8]) -> bool {
    match format {
        ImageFormat::Raw => true,
        ImageFormat::Qcow2 => header::is_qcow(start),
        ImageFormat::Vmdk => start.starts_with(VMDK),
        ImageFormat::Vdi => start.get(VDI_AT..).is_some_and(|rest| rest.starts_with(&VDI)),
        ImageFormat::Vhdx => start.starts_with(b"vhdxfile"),
        ImageFormat::Vpc => start.starts_with(VHD) || end.starts_with(VHD),
    }
}

/// A text that says its version first, after comments and empty lines, is a VMDK descriptor to QEMU.
fn is_vmdk_descriptor(start: &[u8]) -> bool {
    let mut lines =
        start[..start.len().min(DESCRIPTOR_BYTES)].split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with(b"#"));
    first.is_some_and(|line| line.to_ascii_lowercase().starts_with(b"version"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_is_told_by_its_bytes() {
        for (magic, found) in BEGINNINGS {
            assert_eq!(detect(&[magic, &[0; 100]].concat(), &[]), found);
        }
        for (magic, found) in ENDINGS {
            assert_eq!(detect(&[0; 512], &[magic, &[0; 504]].concat()), found);
        }
        let mut vdi = vec![b'<'; 512];
        vdi[0x40..0x44].copy_from_slice(&[0x7f, 0x10, 0xda, 0xbe]);
        assert_eq!(detect(&vdi, &vdi), Found::Ours(ImageFormat::Vdi));
        assert_eq!(detect(b"QFI\xfb\0\0\0\x01", &[]), Found::Foreign("qcow"));
    }

    #[test]
    fn a_descriptor_is_seen_behind_comments_and_empty_lines() {
        for text in ["version=1\n", "# x\n\n  \r\n#y\nVersion = 3\r\n", " version=2"] {
            assert_eq!(detect(text.as_bytes(), &[]), Found::Foreign("vmdk"), "{text}");
        }
        for text in ["#!/bin/sh\necho version=1\n", "no\nversion=1\n", ""] {
            assert_eq!(detect(text.as_bytes(), &[]), Found::Ours(ImageFormat::Raw), "{text}");
        }
    }

    #[test]
    fn ours_are_told_apart() {
        assert_eq!(detect(b"QFI\xfb\0\0\0\x03", &[]), Found::Ours(ImageFormat::Qcow2));
        assert_eq!(detect(b"QFI\xfb", &[]), Found::Ours(ImageFormat::Qcow2));
        // Whatever is in one: here, small clusters with the data of a CD image.
        let holds_a_cd = [&b"QFI\xfb\0\0\0\x03"[..], &[0; 32761], b"CD001"].concat();
        assert_eq!(detect(&holds_a_cd, &[]), Found::Ours(ImageFormat::Qcow2));
        assert!(matches!(detect(&[&[0; 32769][..], b"CD001"].concat(), &[]), Found::Packed(_)));
        assert_eq!(detect(b"QFI\xfb\0\0\0\x09", &[]), Found::Ours(ImageFormat::Qcow2));
        assert_eq!(detect(&[0; 512], &[0; 512]), Found::Ours(ImageFormat::Raw));
    }
}
