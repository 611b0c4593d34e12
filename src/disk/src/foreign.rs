//! Whether an image in another program's format is all there is of its disk, judged by its bytes before QEMU sees it. Pure.
//!
//! Promises: what passes has QEMU's driver for it open no second file. What these headers say else QEMU judges, in a
//! process that can open none; VDI and VHDX with parents its drivers refuse by themselves.

use crate::ImageFormat;

/// QEMU reads the descriptor of a sparse VMDK here, whatever the header says.
const DESCRIPTOR_SECTORS: std::ops::Range<usize> = 1..21;
const SECTOR_BYTES: usize = 512;
/// Of the VMDK header: the disk's size in sectors, without which QEMU takes the descriptor for the image.
const CAPACITY_AT: usize = 12;
/// Of the VHD footer, which lies in front of a dynamic disk, too.
const DISK_TYPE_AT: usize = 60;
const DIFFERENCING: u32 = 4;
/// Of the VDI header, numbers of 4 bytes: where its blocks begin, how large one is, and how many there are.
const VDI_DATA_AT: usize = 0x158;
const VDI_BLOCK_BYTES_AT: usize = 0x178;
const VDI_BLOCKS_AT: usize = 0x184;
/// Kinds of VMDK that are one file.
const SINGLE_FILE: [&str; 2] = ["monolithicsparse", "streamoptimized"];

/// Why an image is not taken as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incomplete {
    /// It is chained onto another file.
    Backing,
    /// Its data is in other files, or it may be.
    OtherFiles,
}

/// Judges an image that begins with `start` and ends with `end`.
///
/// # Errors
/// Where there is more of its disk than this file, or may be.
pub fn stands_alone(format: ImageFormat, start: &[u8], end: &[u8]) -> Result<(), Incomplete> {
    match format {
        ImageFormat::Vmdk => vmdk(start),
        ImageFormat::Vpc if [start, end].into_iter().any(is_differencing) => Err(Incomplete::Backing),
        _ => Ok(()),
    }
}

/// Whether an image of `file_bytes` that begins with `start` ends before its data. Only of VDI has that to be asked: past
/// the end of a file QEMU's driver for it reads zeros, the others look themselves.
pub fn is_truncated(format: ImageFormat, start: &[u8], file_bytes: u64) -> bool {
    if format != ImageFormat::Vdi {
        return false;
    }
    let number = |at: usize| start.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes).map(u64::from);
    let end = || Some(number(VDI_DATA_AT)? + number(VDI_BLOCK_BYTES_AT)? * number(VDI_BLOCKS_AT)?);
    end().is_none_or(|end| file_bytes < end)
}

fn vmdk(start: &[u8]) -> Result<(), Incomplete> {
    let capacity = start.get(CAPACITY_AT..CAPACITY_AT + 8).unwrap_or_default();
    if capacity.iter().all(|byte| *byte == 0) {
        return Err(Incomplete::OtherFiles);
    }
    let bytes = DESCRIPTOR_SECTORS.start * SECTOR_BYTES..DESCRIPTOR_SECTORS.end * SECTOR_BYTES;
    let end = bytes.end.min(start.len());
    let descriptor = start.get(bytes.start..end).unwrap_or_default();
    let descriptor = String::from_utf8_lossy(descriptor).to_ascii_lowercase();
    if descriptor.contains("parentfilenamehint") || parent(&descriptor).is_some_and(|cid| cid != "ffffffff") {
        return Err(Incomplete::Backing);
    }
    let kind = value(&descriptor, "createtype");
    // Without a descriptor QEMU takes it for one sparse extent, which it is.
    let single = kind.is_none_or(|kind| SINGLE_FILE.contains(&kind));
    if single { Ok(()) } else { Err(Incomplete::OtherFiles) }
}

fn parent(descriptor: &str) -> Option<&str> {
    value(descriptor, "parentcid")
}

/// The value of a line `key=value`, without blanks and quotes.
fn value<'a>(descriptor: &'a str, key: &str) -> Option<&'a str> {
    let mut pairs = descriptor.lines().filter_map(|line| line.split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.trim() == key)?;
    Some(value.trim_matches(|c: char| c.is_whitespace() || c == '"' || c == '\0'))
}

fn is_differencing(footer: &[u8]) -> bool {
    let kind = footer.get(DISK_TYPE_AT..DISK_TYPE_AT + 4).filter(|_| footer.starts_with(b"conectix"));
    kind.is_some_and(|kind| *kind == DIFFERENCING.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qcow2::hostile::vmdk_sparse;

    fn sparse(descriptor: &str) -> Result<(), Incomplete> {
        stands_alone(ImageFormat::Vmdk, &vmdk_sparse(descriptor), &[])
    }

    #[test]
    fn a_vmdk_of_one_file_is_taken_and_no_other() {
        let of = |kind: &str| {
            format!("# Disk DescriptorFile\nversion=1\nparentCID=ffffffff\ncreateType=\"{kind}\"\n")
        };
        for kind in ["monolithicSparse", "streamOptimized"] {
            assert_eq!(sparse(&of(kind)), Ok(()), "{kind}");
        }
        for kind in
            ["monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "vmfsSparse", "custom", ""]
        {
            assert_eq!(sparse(&of(kind)), Err(Incomplete::OtherFiles), "{kind}");
        }
        assert_eq!(sparse(""), Ok(()), "it is one extent");
    }

    #[test]
    fn a_vmdk_with_a_parent_is_refused_by_any_mark() {
        let child = "version=1\nparentCID=1234abcd\ncreateType=\"monolithicSparse\"\n";
        let hint =
            "parentCID=ffffffff\ncreateType=\"monolithicSparse\"\nparentFileNameHint=\"/etc/passwd\"\n";
        for descriptor in [child, hint, "x parentfilenamehint"] {
            assert_eq!(sparse(descriptor), Err(Incomplete::Backing), "{descriptor}");
        }
    }

    #[test]
    fn a_vmdk_whose_descriptor_would_count_is_refused() {
        let mut bytes = vmdk_sparse("");
        bytes[CAPACITY_AT..CAPACITY_AT + 8].fill(0);
        assert_eq!(stands_alone(ImageFormat::Vmdk, &bytes, &[]), Err(Incomplete::OtherFiles));
        assert_eq!(stands_alone(ImageFormat::Vmdk, b"KDMV", &[]), Err(Incomplete::OtherFiles));
    }

    #[test]
    fn a_vdi_that_ends_before_its_blocks_is_truncated() {
        let mut start = vec![0; 512];
        for (at, number) in [(VDI_DATA_AT, 1024_u32), (VDI_BLOCK_BYTES_AT, 1 << 20), (VDI_BLOCKS_AT, 5)] {
            start[at..at + 4].copy_from_slice(&number.to_le_bytes());
        }
        let is_cut = |bytes| is_truncated(ImageFormat::Vdi, &start, bytes);
        assert!(!is_cut(5 * (1 << 20) + 1024) && is_cut(5 * (1 << 20) + 1023) && is_cut(512));
        assert!(is_truncated(ImageFormat::Vdi, &start[..0x186], u64::MAX), "not all of its header");
        assert!(!is_truncated(ImageFormat::Vhdx, &start, 512));
    }

    #[test]
    fn a_differencing_vhd_is_refused_by_either_footer() {
        let footer = |kind: u32| {
            let mut footer = vec![0; 512];
            footer[..8].copy_from_slice(b"conectix");
            footer[DISK_TYPE_AT..DISK_TYPE_AT + 4].copy_from_slice(&kind.to_be_bytes());
            footer
        };
        let judged = |start: &[u8], end: &[u8]| stands_alone(ImageFormat::Vpc, start, end);
        assert_eq!(judged(&footer(3), &footer(3)), Ok(()));
        assert_eq!(judged(&[0; 512], &footer(2)), Ok(()));
        assert_eq!(judged(&footer(3), &footer(4)), Err(Incomplete::Backing));
        assert_eq!(judged(&footer(4), &[]), Err(Incomplete::Backing));
    }
}
