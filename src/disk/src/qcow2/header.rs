//! What a qcow2 header says, read without QEMU: `qemu-img info` opens an external data file that an
//! image names, so an image is refused by its header before QEMU sees it. Pure; whether it may be is judged
//! in `inspect`.

/// The parts of a qcow2 header that decide whether we touch an image, as they stand there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Qcow2Header {
    /// 2 or 3.
    pub version: u32,
    /// The name of the backing file.
    pub backing: Option<NameAt>,
    /// log2 of the size of a cluster in bytes.
    pub cluster_bits: u32,
    /// Size of the disk a guest sees.
    pub virtual_size_bytes: u64,
    /// 0 where nothing is encrypted.
    pub crypt_method: u32,
    /// The first-level table: where, and how many entries of 8 bytes.
    pub level1: Table,
    /// The refcount table: where, and how many clusters.
    pub refcounts: Table,
    /// The table of internal snapshots: where, and how many.
    pub snapshots: Table,
    /// Bits without which the file cannot be read right.
    pub incompatible: u64,
    /// Bits that who does not know them may pass over.
    pub autoclear: u64,
    /// log2 of the bits of a refcount.
    pub refcount_order: u32,
    /// Length of the header itself; extensions follow.
    pub header_bytes: u32,
    /// 0 is zlib, 1 is zstd.
    pub compression: u8,
}

/// Where in a file a name stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameAt {
    /// Its first byte.
    pub offset: u64,
    /// Its length.
    pub bytes: u32,
}

/// A table in a file, in units of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its first byte.
    pub offset: u64,
    /// Its length, in entries or clusters.
    pub count: u32,
}

/// Header extensions, by their numbers in the format's document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions(Vec<u32>);

/// So many bytes of a file tell all of a header but its extensions.
pub const HEADER_BYTES: usize = 112;

/// Incompatible bit: refcounts may be wrong.
pub const UNCLEAN: u64 = 1;
/// Incompatible bit: QEMU found it corrupt.
pub const MARKED_CORRUPT: u64 = 1 << 1;
/// Incompatible bit: the data lies in another file.
pub const DATA_FILE: u64 = 1 << 2;
/// Incompatible bit: clusters are not compressed by zlib.
pub const COMPRESSION_TYPE: u64 = 1 << 3;
/// Incompatible bit: clusters have subclusters.
pub const EXTENDED_L2: u64 = 1 << 4;
/// Of the autoclear bits.
pub const RAW_DATA_FILE: u64 = 1 << 1;

/// Where a header says where its backing file's name is.
pub const BACKING_NAME: std::ops::Range<u64> = 8..20;

const MAGIC: [u8; 4] = *b"QFI\xfb";
const V2_HEADER_BYTES: u32 = 72;
const COMPRESSION_AT: usize = 104;
const END: u32 = 0;
const DATA_FILE_NAME: u32 = 0x4441_5441;
const FULL_DISK_ENCRYPTION: u32 = 0x0537_be77;

/// Whether a file that begins with these bytes claims to be qcow2, or qcow, its ancestor.
pub fn is_qcow(start: &[u8]) -> bool {
    start.starts_with(&MAGIC)
}

/// Its version, where there is one.
pub fn version(start: &[u8]) -> Option<u32> {
    is_qcow(start).then(|| be32(start, 4)).flatten()
}

/// Reads a header; `None` where it is no whole qcow2 header.
pub fn parse(start: &[u8]) -> Option<Qcow2Header> {
    let version = version(start)?;
    let header = Qcow2Header {
        version,
        backing: backing(start)?,
        cluster_bits: be32(start, 20)?,
        virtual_size_bytes: be64(start, 24)?,
        crypt_method: be32(start, 32)?,
        level1: Table { offset: be64(start, 40)?, count: be32(start, 36)? },
        refcounts: Table { offset: be64(start, 48)?, count: be32(start, 56)? },
        snapshots: Table { offset: be64(start, 64)?, count: be32(start, 60)? },
        incompatible: 0,
        autoclear: 0,
        refcount_order: 4,
        header_bytes: V2_HEADER_BYTES,
        compression: 0,
    };
    if version < 3 { Some(header) } else { with_version_3(header, start) }
}

fn with_version_3(header: Qcow2Header, start: &[u8]) -> Option<Qcow2Header> {
    let header_bytes = be32(start, 100)?;
    let compression = start.get(COMPRESSION_AT).filter(|_| header_bytes as usize > COMPRESSION_AT);
    Some(Qcow2Header {
        incompatible: be64(start, 72)?,
        autoclear: be64(start, 88)?,
        refcount_order: be32(start, 96)?,
        header_bytes,
        compression: compression.copied().unwrap_or(0),
        ..header
    })
}

fn backing(start: &[u8]) -> Option<Option<NameAt>> {
    let (offset, bytes) = (be64(start, 8)?, be32(start, 16)?);
    Some((offset != 0).then_some(NameAt { offset, bytes }))
}

impl Qcow2Header {
    /// Whether one of these incompatible bits is set.
    pub fn has(&self, incompatible: u64) -> bool {
        self.incompatible & incompatible != 0
    }

    /// Where the data of this disk is in another file, by any of the marks there are for it.
    pub fn data_file(&self, extensions: &Extensions) -> bool {
        self.has(DATA_FILE) || self.autoclear & RAW_DATA_FILE != 0 || extensions.has(DATA_FILE_NAME)
    }

    /// Whether any of its data is encrypted.
    pub fn encrypted(&self, extensions: &Extensions) -> bool {
        self.crypt_method != 0 || extensions.has(FULL_DISK_ENCRYPTION)
    }

    /// Size of a cluster; none where it has more bits than a number.
    pub fn cluster_bytes(&self) -> Option<u64> {
        1_u64.checked_shl(self.cluster_bits)
    }

    /// Size of the first-level table.
    pub fn level1_bytes(&self) -> u64 {
        u64::from(self.level1.count) * 8
    }

    /// Size of the refcount table.
    pub fn refcounts_bytes(&self) -> u64 {
        self.cluster_bytes().unwrap_or(u64::MAX).saturating_mul(self.refcounts.count.into())
    }

    /// Where the tables end that every qcow2 file has. Past the end of a file QEMU reads zeros, so
    /// that an image without its first-level table looks sound and empty.
    pub fn tables_end(&self) -> u64 {
        let level1 = self.level1.offset.saturating_add(self.level1_bytes());
        level1.max(self.refcounts.offset.saturating_add(self.refcounts_bytes()))
    }
}

impl Extensions {
    /// Reads those that follow `header` in `start`, up to where QEMU reads them; `None` where they do not
    /// end there, or not in `start`.
    pub fn read(header: &Qcow2Header, start: &[u8]) -> Option<Self> {
        let first = u64::from(header.header_bytes);
        // A name that stands in the header itself bounds nothing.
        let name = header.backing.map(|name| name.offset).filter(|&offset| offset > first);
        let end = name.unwrap_or(header.cluster_bytes()?);
        let (mut found, mut at) = (Vec::new(), first);
        while at.checked_add(8)? <= end {
            let head = usize::try_from(at).ok()?;
            let (kind, bytes) = (be32(start, head)?, u64::from(be32(start, head + 4)?));
            if kind == END {
                break;
            }
            if bytes > end - at - 8 {
                return None;
            }
            found.push(kind);
            at += 8 + bytes.next_multiple_of(8);
        }
        Some(Self(found))
    }

    fn has(&self, kind: u32) -> bool {
        self.0.contains(&kind)
    }
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn be64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qcow2::hostile::Hostile;

    #[test]
    fn reads_where_the_tables_are() {
        let header = parse(&Hostile::default().bytes()).unwrap();
        assert_eq!((header.version, header.cluster_bits, header.virtual_size_bytes), (3, 16, 1 << 20));
        assert_eq!((header.level1.offset, header.level1.count), (0x3_0000, 1));
        assert_eq!(header.tables_end(), 0x3_0008);
        let late = Hostile::default().put64(48, 0x4_0000).bytes();
        assert_eq!(parse(&late).unwrap().tables_end(), 0x5_0000);
    }

    #[test]
    fn version_2_has_no_feature_bits() {
        let header = parse(&Hostile::default().put32(4, 2).put64(72, 4).bytes()).unwrap();
        assert!(!header.has(DATA_FILE) && header.header_bytes == 72);
    }

    #[test]
    fn refuses_other_magic_and_short_headers() {
        let bytes = Hostile::default().bytes();
        assert_eq!(parse(&[0; HEADER_BYTES]), None);
        assert_eq!(parse(&bytes[..60]), None);
        assert_eq!(parse(&bytes[..103]), None);
        assert_eq!(parse(b"QFI\xfb"), None);
    }

    #[test]
    fn no_header_is_read_beyond_its_end() {
        let bytes = Hostile::default().extension(7, b"123456789").bytes();
        let header = parse(&bytes).unwrap();
        assert_eq!(Extensions::read(&header, &bytes), Some(Extensions(vec![7])));
        for cut in 0..header.header_bytes as usize + 24 {
            let whole =
                parse(&bytes[..cut]).is_some_and(|header| Extensions::read(&header, &bytes[..cut]).is_some());
            assert!(!whole, "{cut}");
        }
    }
}
