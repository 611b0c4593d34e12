//! What a qcow2 header says, read without QEMU: `qemu-img info` opens an external data file that an
//! image names, so an image is refused by its header before QEMU sees it. Pure.

/// The part of a qcow2 header that decides whether we touch an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Qcow2Header {
    pub(super) version: u32,
    pub(super) backing: Option<NameAt>,
    pub(super) data_file: bool,
    pub(super) encrypted: bool,
    pub(super) marked_corrupt: bool,
    /// Any other bit without which the file cannot be read right.
    pub(super) other_features: bool,
    pub(super) cluster_bytes: u64,
    pub(super) virtual_size_bytes: u64,
    /// Where the tables end that every qcow2 file has. Past the end of a file QEMU reads zeros, so
    /// that an image without its first-level table looks sound and empty.
    pub(super) tables_end: u64,
}

/// Where in a file a name stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NameAt {
    pub(super) offset: u64,
    pub(super) bytes: u32,
}

/// So many bytes of a file tell all of it.
pub(super) const HEADER_BYTES: usize = 104;

const MARKED_CORRUPT: u64 = 0b10;
const DATA_FILE: u64 = 0b100;
const MAGIC: [u8; 4] = *b"QFI\xfb";

/// Whether a file that begins with these bytes claims to be qcow2.
pub(super) fn is_qcow2(start: &[u8]) -> bool {
    start.starts_with(&MAGIC)
}

/// Formats whose files name other files, which QEMU would open when it probes them.
pub(super) fn names_other_files(start: &[u8]) -> Option<&'static str> {
    start.starts_with(b"# Disk Descriptor").then_some("vmdk")
}

/// Reads a header; `None` where it is no whole qcow2 header.
pub(super) fn parse(start: &[u8]) -> Option<Qcow2Header> {
    if !is_qcow2(start) {
        return None;
    }
    let version = be32(start, 4)?;
    let features = if version >= 3 { be64(start, 72)? } else { 0 };
    Some(Qcow2Header {
        version,
        backing: backing(start)?,
        encrypted: be32(start, 32)? != 0,
        marked_corrupt: features & MARKED_CORRUPT != 0,
        data_file: features & DATA_FILE != 0,
        other_features: features & !(MARKED_CORRUPT | DATA_FILE) != 0,
        cluster_bytes: cluster_bytes(start)?,
        virtual_size_bytes: be64(start, 24)?,
        tables_end: tables_end(start)?,
    })
}

fn backing(start: &[u8]) -> Option<Option<NameAt>> {
    let (offset, bytes) = (be64(start, 8)?, be32(start, 16)?);
    Some((offset != 0).then_some(NameAt { offset, bytes }))
}

fn cluster_bytes(start: &[u8]) -> Option<u64> {
    1_u64.checked_shl(be32(start, 20)?)
}

fn tables_end(start: &[u8]) -> Option<u64> {
    let cluster_bytes = cluster_bytes(start)?;
    let level1 = be64(start, 40)?.checked_add(u64::from(be32(start, 36)?) * 8)?;
    let refcounts = be64(start, 48)?.checked_add(cluster_bytes.checked_mul(be32(start, 56)?.into())?)?;
    Some(level1.max(refcounts))
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn be64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(version: u32) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..8].copy_from_slice(&version.to_be_bytes());
        bytes
    }

    #[test]
    fn finds_each_reason_to_refuse() {
        assert_eq!(
            parse(&header(3)),
            Some(Qcow2Header {
                version: 3,
                backing: None,
                data_file: false,
                encrypted: false,
                marked_corrupt: false,
                other_features: false,
                cluster_bytes: 1,
                virtual_size_bytes: 0,
                tables_end: 0,
            })
        );
        let with = |at: usize, bit: u8| {
            let mut bytes = header(3);
            bytes[at] = bit;
            parse(&bytes).unwrap()
        };
        assert_eq!(with(15, 1).backing, Some(NameAt { offset: 1, bytes: 0 }));
        assert!(with(35, 2).encrypted);
        assert!(with(79, 2).marked_corrupt);
        assert!(with(79, 4).data_file && !with(79, 4).other_features);
        assert!(with(79, 1).other_features && with(72, 128).other_features);
    }

    #[test]
    fn knows_where_its_tables_end() {
        let mut bytes = header(3);
        bytes[23] = 16;
        bytes[39] = 2;
        bytes[45] = 3;
        assert_eq!(parse(&bytes).unwrap().tables_end, 0x3_0010);
        bytes[53] = 4;
        bytes[59] = 1;
        assert_eq!(parse(&bytes).unwrap().tables_end, 0x5_0000);
        bytes[23] = 64;
        assert_eq!(parse(&bytes), None);
    }

    #[test]
    fn version_2_has_no_feature_bits() {
        let mut bytes = header(2);
        bytes[79] = 4;
        assert!(!parse(&bytes).unwrap().data_file);
        assert!(parse(&bytes[..72]).is_some());
    }

    #[test]
    fn refuses_other_magic_and_short_headers() {
        assert_eq!(parse(&[0; HEADER_BYTES]), None);
        assert_eq!(parse(&header(3)[..60]), None);
        assert_eq!(parse(b"QFI\xfb"), None);
    }
}
