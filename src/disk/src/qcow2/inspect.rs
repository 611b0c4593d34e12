//! Whether a qcow2 header is one to go on with. Pure; QEMU sees no file that was refused here.

use super::header::{
    COMPRESSION_TYPE, DATA_FILE, EXTENDED_L2, Extensions, MARKED_CORRUPT, Qcow2Header, UNCLEAN,
};
use std::fmt;

/// The smallest and the largest disk that is taken.
pub const DISK_BYTES: std::ops::RangeInclusive<u64> = 512..=64 << 40;
/// Disks are a whole number of these.
pub const SECTOR_BYTES: u64 = 512;
const CLUSTER_BITS: std::ops::RangeInclusive<u32> = 9..=21;
/// With subclusters, of which there are 32 to a cluster.
const LEAST_EXTENDED_CLUSTER_BITS: u32 = 14;
const HEADER_BYTES: std::ops::RangeInclusive<u32> = 72..=4096;
/// What QEMU takes, too.
const MAX_LEVEL1_BYTES: u64 = 32 << 20;
const MAX_REFCOUNTS_BYTES: u64 = 8 << 20;
const MAX_REFCOUNT_ORDER: u32 = 6;
const MAX_SNAPSHOTS: u32 = 65_536;
/// A table that grew with its disk has up to half of its entries to spare; one whose disk shrank keeps them.
const SPARE_LEVEL1_ENTRIES: u64 = 4096;
/// The best that deflate can do.
const MAX_DEFLATION: u64 = 1032;
/// What zstd makes of the largest cluster if all its bytes are alike, and some.
const MAX_ZSTD: u64 = 1 << 16;
/// In a header's place for it.
const ZSTD: u8 = 1;

/// Why an image is refused by its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its data lies in another file.
    DataFile,
    /// It is chained onto another file.
    Backing,
    /// It is encrypted.
    Encrypted,
    /// QEMU marked it as corrupt.
    MarkedCorrupt,
    /// Its refcounts may be wrong.
    Unclean,
    /// Its reader would need what we do not have.
    Feature(Feature),
    /// Its disk is too small, too large, or no whole number of sectors.
    Size,
    /// It contradicts the format.
    Malformed(FormatViolation),
    /// It ends before its tables do.
    Truncated,
}

/// Something that a file needs of its reader and that we do not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// A later version of the format.
    Version(u32),
    /// Compression other than by deflate or zstd, or another than its feature bits say, by its number in the format's
    /// document.
    Compression(u8),
    /// A feature bit that the format's document does not have.
    Bit(u32),
}

/// What contradicts the format or QEMU's limits: no tool writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormatViolation {
    /// The length of its header.
    HeaderBytes(u32),
    /// The size of its clusters.
    ClusterBits(u32),
    /// Header extensions that do not end.
    Extensions,
    /// Its first-level table does not fit its disk.
    Level1 {
        /// How many entries it has.
        entries: u32,
        /// How many its disk needs.
        needed: u64,
    },
    /// The number of clusters in its refcount table.
    Refcounts(u32),
    /// The size of its disk, which is no whole number of sectors.
    BrokenSector(u64),
    /// The width of its reference counts.
    RefcountOrder(u32),
    /// The number of its snapshots.
    Snapshots(u32),
    /// A table that lies in its header, within a cluster, or over another table.
    Misplaced(&'static str),
    /// More of the disk is allocated than the file can hold.
    Overfull {
        /// What is allocated.
        data_bytes: u64,
        /// Size of the file.
        file_bytes: u64,
    },
}

/// How much of the disk is allocated, by `qemu-img check`.
#[derive(Clone, Copy, Debug)]
pub struct AllocatedBytes {
    /// In clusters that are not compressed.
    pub plain_bytes: u64,
    /// In compressed clusters.
    pub compressed_bytes: u64,
}

/// Judges an image of `file_bytes` by its header, which begins `start`.
pub fn inspect_header(header: &Qcow2Header, start: &[u8], file_bytes: u64) -> Result<(), Refusal> {
    standing_alone(header, start)?;
    readable(header)?;
    if !DISK_BYTES.contains(&header.virtual_size_bytes) {
        return Err(Refusal::Size);
    }
    check_limits(header).map_err(Refusal::Malformed)?;
    if header.tables_end() > file_bytes { Err(Refusal::Truncated) } else { Ok(()) }
}

/// Whether the file is all there is of its disk.
fn standing_alone(header: &Qcow2Header, start: &[u8]) -> Result<(), Refusal> {
    if !(2..=3).contains(&header.version) {
        return Err(Refusal::Feature(Feature::Version(header.version)));
    }
    shaped(header).map_err(Refusal::Malformed)?;
    let extensions = Extensions::read(header, start);
    let known = extensions.clone().unwrap_or_default();
    match header {
        h if h.data_file(&known) => Err(Refusal::DataFile),
        h if h.backing.is_some() => Err(Refusal::Backing),
        h if h.encrypted(&known) => Err(Refusal::Encrypted),
        _ if extensions.is_none() => Err(Refusal::Malformed(FormatViolation::Extensions)),
        _ => Ok(()),
    }
}

/// Whether the header's own measures make sense, without which nothing behind it can be found.
fn shaped(header: &Qcow2Header) -> Result<(), FormatViolation> {
    let least = if header.version == 3 { 104 } else { *HEADER_BYTES.start() };
    match header {
        h if !CLUSTER_BITS.contains(&h.cluster_bits) => Err(FormatViolation::ClusterBits(h.cluster_bits)),
        h if h.header_bytes < least
            || !HEADER_BYTES.contains(&h.header_bytes)
            || !h.header_bytes.is_multiple_of(8) =>
        {
            Err(FormatViolation::HeaderBytes(h.header_bytes))
        }
        _ => Ok(()),
    }
}

/// Whether we can read it right.
fn readable(header: &Qcow2Header) -> Result<(), Refusal> {
    let known = UNCLEAN | MARKED_CORRUPT | DATA_FILE | COMPRESSION_TYPE | EXTENDED_L2;
    let unknown = header.incompatible & !known;
    match header {
        h if h.has(MARKED_CORRUPT) => Err(Refusal::MarkedCorrupt),
        h if h.has(UNCLEAN) => Err(Refusal::Unclean),
        _ if unknown != 0 => Err(Refusal::Feature(Feature::Bit(unknown.trailing_zeros()))),
        h if h.has(COMPRESSION_TYPE) != (h.compression == ZSTD) || h.compression > ZSTD => {
            Err(Refusal::Feature(Feature::Compression(h.compression)))
        }
        h if h.has(EXTENDED_L2) && h.cluster_bits < LEAST_EXTENDED_CLUSTER_BITS => {
            Err(Refusal::Malformed(FormatViolation::ClusterBits(h.cluster_bits)))
        }
        _ => Ok(()),
    }
}

/// Whether its tables are of the size and at places where tables can be.
pub fn check_limits(header: &Qcow2Header) -> Result<(), FormatViolation> {
    shaped(header)?;
    let (entries, needed) = (header.level1.count, needed_level1_entries(header));
    match header {
        h if !h.virtual_size_bytes.is_multiple_of(SECTOR_BYTES) => {
            Err(FormatViolation::BrokenSector(h.virtual_size_bytes))
        }
        h if u64::from(entries) < needed
            || u64::from(entries) > 2 * needed + SPARE_LEVEL1_ENTRIES
            || h.level1_bytes() > MAX_LEVEL1_BYTES =>
        {
            Err(FormatViolation::Level1 { entries, needed })
        }
        h if h.refcounts.count == 0 || h.refcounts_bytes() > MAX_REFCOUNTS_BYTES => {
            Err(FormatViolation::Refcounts(h.refcounts.count))
        }
        h if h.refcount_order > MAX_REFCOUNT_ORDER => Err(FormatViolation::RefcountOrder(h.refcount_order)),
        h if h.snapshots.count > MAX_SNAPSHOTS => Err(FormatViolation::Snapshots(h.snapshots.count)),
        _ => placed(header),
    }
}

fn needed_level1_entries(header: &Qcow2Header) -> u64 {
    let entry_bytes = if header.has(EXTENDED_L2) { 16 } else { 8 };
    let table_covers =
        header.cluster_bytes().map_or(u64::MAX, |bytes| (bytes / entry_bytes).saturating_mul(bytes));
    header.virtual_size_bytes.div_ceil(table_covers)
}

fn placed(header: &Qcow2Header) -> Result<(), FormatViolation> {
    let cluster = header.cluster_bytes().unwrap_or(u64::MAX);
    let in_place = |offset: u64| offset >= cluster && offset.is_multiple_of(cluster);
    let (level1, refcounts) = (header.level1.offset, header.refcounts.offset);
    let apart = level1.saturating_add(header.level1_bytes()) <= refcounts
        || refcounts.saturating_add(header.refcounts_bytes()) <= level1;
    match header {
        _ if !in_place(level1) => Err(FormatViolation::Misplaced("first-level table")),
        _ if !in_place(refcounts) || !apart => Err(FormatViolation::Misplaced("refcount table")),
        h if h.snapshots.count > 0 && !in_place(h.snapshots.offset) => {
            Err(FormatViolation::Misplaced("snapshot table"))
        }
        _ => Ok(()),
    }
}

/// Whether a file can hold what it allocates: tables that name one cluster many times make an endless disk of a
/// small file, and so does a compressed cluster.
pub fn check_allocation(
    allocated: AllocatedBytes,
    compression: u8,
    file_bytes: u64,
) -> Result<(), FormatViolation> {
    let data_bytes = allocated.plain_bytes.saturating_add(allocated.compressed_bytes);
    let unpacked = file_bytes.saturating_mul(if compression == ZSTD { MAX_ZSTD } else { MAX_DEFLATION });
    let fits = allocated.plain_bytes <= file_bytes && allocated.compressed_bytes <= unpacked;
    if fits { Ok(()) } else { Err(FormatViolation::Overfull { data_bytes, file_bytes }) }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(f, "version {version} of the format"),
            Self::Compression(kind) => write!(f, "compression of type {kind}"),
            Self::Bit(bit) => write!(f, "the unknown incompatible feature {bit}"),
        }
    }
}

impl fmt::Display for FormatViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HeaderBytes(bytes) => write!(f, "a header of {bytes} bytes"),
            Self::ClusterBits(bits) => write!(f, "clusters of 2^{bits} bytes"),
            Self::Extensions => f.write_str("header extensions without an end"),
            Self::Level1 { entries, needed } => {
                write!(f, "a first-level table of {entries} entries where its disk needs {needed}")
            }
            Self::Refcounts(clusters) => write!(f, "a refcount table of {clusters} clusters"),
            Self::BrokenSector(bytes) => write!(f, "a disk of {bytes} bytes, which are no whole sectors"),
            Self::RefcountOrder(order) => write!(f, "reference counts of 2^{order} bits"),
            Self::Snapshots(count) => write!(f, "{count} snapshots"),
            Self::Misplaced(table) => write!(f, "a {table} where none can be"),
            Self::Overfull { data_bytes, file_bytes } => {
                write!(f, "{data_bytes} bytes of data in a file of {file_bytes}")
            }
        }
    }
}

#[cfg(test)]
mod tests;
