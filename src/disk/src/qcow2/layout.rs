//! Where everything in a cache file lies, and its metadata's bytes. Pure.
//!
//! Numbers are those of QEMU's `docs/interop/qcow2.txt`.

use super::backing::BACKING_MAX_BYTES;
use super::{CLUSTER_BYTES, ClusterRuns};
use crate::ImageFormat;
use bootstash_base::error::Classified;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const CLUSTER_BITS: u32 = 16;
/// Entries of 8 bytes in a cluster: of a second-level table, and of the refcount table.
const TABLE_ENTRIES: u64 = CLUSTER_BYTES / 8;
/// Refcounts of 2 bytes in a cluster.
const BLOCK_REFCOUNTS: u64 = CLUSTER_BYTES / 2;
const HEADER_BYTES: u32 = 104;
const BACKING_FORMAT_EXTENSION: u32 = 0xe279_2aca;
/// What an entry points to is referred to once.
const COPIED: u64 = 1 << 63;
/// Reads as zeros; nothing is stored.
const ZERO_ENTRY: u64 = 1;

/// A cache file before it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    virtual_size_bytes: u64,
    /// In ascending order up to `ascending`, and from there again.
    data: Vec<u64>,
    ascending: usize,
    zeros: ClusterRuns,
    backing: PathBuf,
    backing_format: ImageFormat,
    /// Which second-level tables there are, in ascending order.
    tables: Vec<u64>,
    refcount_table_clusters: u64,
    refcount_blocks: u64,
    level1_clusters: u64,
}

/// No cache file can be laid out so.
#[derive(Debug, thiserror::Error, Classified)]
#[class(permanent)]
pub enum LayoutError {
    /// QEMU would not take the name from the file's header.
    #[error("the path {} is not absolute or longer than 1023 bytes; move the image to a shorter path", .path.display())]
    BackingPath {
        /// The base, by its absolute path.
        path: PathBuf,
    },
    /// A cluster lies past the end of the disk.
    #[error("cluster {cluster} lies past the end of a disk of {virtual_size_bytes} bytes")]
    PastEnd {
        /// Its number.
        cluster: u64,
        /// Size of the disk.
        virtual_size_bytes: u64,
    },
}

impl Layout {
    /// A cache of a disk of `virtual_size_bytes` which holds the clusters `data` (in any order) and
    /// marks `zeros` as zero; a cluster in both is marked. What it lacks is read from `backing`.
    ///
    /// # Errors
    /// See [`LayoutError`].
    pub fn new(
        virtual_size_bytes: u64,
        mut data: Vec<u64>,
        zeros: ClusterRuns,
        backing: &Path,
        backing_format: ImageFormat,
    ) -> Result<Self, LayoutError> {
        if !backing.is_absolute() || backing.as_os_str().len() > BACKING_MAX_BYTES {
            return Err(LayoutError::BackingPath { path: backing.to_owned() });
        }
        data.retain(|&cluster| !zeros.contains(cluster));
        data.sort_unstable();
        data.dedup();
        let clusters = virtual_size_bytes.div_ceil(CLUSTER_BYTES);
        let last_zero = zeros.runs().last().map(|run| run.end - 1);
        if let Some(cluster) = data.last().copied().max(last_zero).filter(|&last| last >= clusters) {
            return Err(LayoutError::PastEnd { cluster, virtual_size_bytes });
        }
        let mut layout = Self {
            virtual_size_bytes,
            tables: tables(&data, &zeros),
            level1_clusters: clusters.div_ceil(TABLE_ENTRIES).div_ceil(TABLE_ENTRIES),
            ascending: data.len(),
            data,
            zeros,
            backing: backing.to_owned(),
            backing_format,
            refcount_table_clusters: 1,
            refcount_blocks: 1,
        };
        layout.fit_refcounts();
        Ok(layout)
    }

    /// The same with the clusters `more`, too: at the end of the file, so that all other data stays where it is. Where
    /// the metadata would grow, all of it is laid out anew.
    ///
    /// # Errors
    /// See [`LayoutError`].
    pub fn extended(self, more: Vec<u64>) -> Result<Self, LayoutError> {
        let all = self.data.iter().copied().chain(more).collect();
        let mut whole =
            Self::new(self.virtual_size_bytes, all, self.zeros.clone(), &self.backing, self.backing_format)?;
        if whole.data_start() == self.data_start() && self.ascending == self.data.len() {
            let more = whole.data.iter().filter(|cluster| self.data.binary_search(cluster).is_err());
            whole.ascending = self.data.len();
            whole.data = self.data.iter().chain(more).copied().collect();
        }
        Ok(whole)
    }

    /// The clusters that hold data, in the order of the file.
    pub fn data(&self) -> &[u64] {
        &self.data
    }

    /// Size of the disk a guest sees, in bytes.
    pub fn virtual_size_bytes(&self) -> u64 {
        self.virtual_size_bytes
    }

    /// How many clusters are marked as zero.
    pub fn zero_clusters(&self) -> u64 {
        self.zeros.count()
    }

    /// Size of the file, in bytes.
    pub fn file_bytes(&self) -> u64 {
        self.file_clusters() * CLUSTER_BYTES
    }

    /// The metadata, a cluster at a time; the data follows it.
    pub fn metadata(&self) -> impl Iterator<Item = Vec<u8>> {
        let blocks = (0..self.refcount_blocks).map(|block| self.refcount_block(block));
        let tables = self.tables.iter().map(|&table| self.level2(table));
        std::iter::once(self.header())
            .chain(entries(self.refcount_table(), self.refcount_table_clusters))
            .chain(blocks)
            .chain(entries(self.level1(), self.level1_clusters))
            .chain(tables)
    }

    /// Refcounts count the clusters that hold refcounts, too.
    fn fit_refcounts(&mut self) {
        loop {
            let blocks = self.file_clusters().div_ceil(BLOCK_REFCOUNTS);
            let table = blocks.div_ceil(TABLE_ENTRIES);
            if (blocks, table) == (self.refcount_blocks, self.refcount_table_clusters) {
                return;
            }
            (self.refcount_blocks, self.refcount_table_clusters) = (blocks, table);
        }
    }

    fn file_clusters(&self) -> u64 {
        self.data_start() + self.data.len() as u64
    }

    fn blocks_start(&self) -> u64 {
        1 + self.refcount_table_clusters
    }

    fn level1_start(&self) -> u64 {
        self.blocks_start() + self.refcount_blocks
    }

    fn tables_start(&self) -> u64 {
        self.level1_start() + self.level1_clusters
    }

    fn data_start(&self) -> u64 {
        self.tables_start() + self.tables.len() as u64
    }

    fn header(&self) -> Vec<u8> {
        let (name, format) = (self.backing.as_os_str().as_bytes(), self.backing_format.as_str());
        let mut extensions = Vec::new();
        extensions.extend(BACKING_FORMAT_EXTENSION.to_be_bytes());
        extensions.extend(length32(format.len()));
        extensions.extend_from_slice(format.as_bytes());
        extensions.resize(extensions.len().next_multiple_of(8), 0);
        extensions.extend([0; 8]);
        let name_offset = u64::from(HEADER_BYTES) + extensions.len() as u64;
        let level1_entries = self.virtual_size_bytes.div_ceil(CLUSTER_BYTES).div_ceil(TABLE_ENTRIES);

        let mut header = b"QFI\xfb".to_vec();
        header.extend(3_u32.to_be_bytes());
        header.extend(name_offset.to_be_bytes());
        header.extend(length32(name.len()));
        header.extend(CLUSTER_BITS.to_be_bytes());
        header.extend(self.virtual_size_bytes.to_be_bytes());
        header.extend(0_u32.to_be_bytes()); // no encryption
        header.extend(length32(usize::try_from(level1_entries).unwrap_or(usize::MAX)));
        header.extend((self.level1_start() * CLUSTER_BYTES).to_be_bytes());
        header.extend(CLUSTER_BYTES.to_be_bytes()); // the refcount table follows the header
        header.extend(length32(usize::try_from(self.refcount_table_clusters).unwrap_or(usize::MAX)));
        header.extend([0; 12]); // no snapshots
        header.extend([0; 24]); // no features
        header.extend(4_u32.to_be_bytes()); // refcounts of 2^4 bits
        header.extend(HEADER_BYTES.to_be_bytes());
        header.extend(extensions);
        header.extend_from_slice(name);
        cluster(header)
    }

    fn refcount_table(&self) -> impl Iterator<Item = u64> {
        let start = self.blocks_start();
        (0..self.refcount_blocks).map(move |block| (start + block) * CLUSTER_BYTES)
    }

    fn refcount_block(&self, block: u64) -> Vec<u8> {
        let used = self.file_clusters().saturating_sub(block * BLOCK_REFCOUNTS).min(BLOCK_REFCOUNTS);
        cluster([0, 1].repeat(usize::try_from(used).unwrap_or(0)))
    }

    fn level1(&self) -> impl Iterator<Item = u64> {
        let (start, mut tables) = (self.tables_start(), self.tables.iter().zip(0..).peekable());
        let last = self.tables.last().map_or(0, |table| table + 1);
        (0..last).map(move |index| match tables.next_if(|(table, _)| **table == index) {
            Some((_, position)) => ((start + position) * CLUSTER_BYTES) | COPIED,
            None => 0,
        })
    }

    fn level2(&self, table: u64) -> Vec<u8> {
        let window = table * TABLE_ENTRIES..(table + 1) * TABLE_ENTRIES;
        let mut bytes = cluster(Vec::new());
        let mut set = |cluster: u64, entry: u64| {
            let at = usize::try_from((cluster - window.start) * 8).unwrap_or(usize::MAX);
            bytes[at..at + 8].copy_from_slice(&entry.to_be_bytes());
        };
        for run in self.zeros.within(window.clone()) {
            run.for_each(|cluster| set(cluster, ZERO_ENTRY));
        }
        let (first, second) = self.data.split_at(self.ascending);
        for (part, start) in [(first, 0), (second, self.ascending)] {
            let skipped = part.partition_point(|&cluster| cluster < window.start);
            let data = part[skipped..].iter().take_while(|&&cluster| cluster < window.end);
            for (&cluster, position) in data.zip(self.data_start() + (start + skipped) as u64..) {
                set(cluster, (position * CLUSTER_BYTES) | COPIED);
            }
        }
        bytes
    }
}

fn tables(data: &[u64], zeros: &ClusterRuns) -> Vec<u64> {
    let of_data = data.iter().map(|cluster| cluster / TABLE_ENTRIES);
    let of_zeros =
        zeros.runs().iter().flat_map(|run| run.start / TABLE_ENTRIES..=(run.end - 1) / TABLE_ENTRIES);
    let mut tables: Vec<u64> = of_data.chain(of_zeros).collect();
    tables.sort_unstable();
    tables.dedup();
    tables
}

/// A table of 8-byte entries, cut into `clusters` clusters.
fn entries(mut table: impl Iterator<Item = u64>, clusters: u64) -> impl Iterator<Item = Vec<u8>> {
    (0..clusters).map(move |_| {
        let mut bytes = Vec::new();
        for entry in table.by_ref().take(TABLE_ENTRIES as usize) {
            bytes.extend(entry.to_be_bytes());
        }
        cluster(bytes)
    })
}

fn cluster(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(CLUSTER_BYTES as usize, 0);
    bytes
}

/// A number that the checks above keep far below 2^32.
fn length32(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests;
