//! A writer of images that were made to do harm, for tests. Pure.
//!
//! Promises: what is not changed is right, so that only what a test changes can be the reason to refuse.

const CLUSTER: usize = 64 << 10;
const HEADER_BYTES: usize = 112;
/// Clusters of the file: header, refcount table, refcount block, first-level table.
const REFCOUNTS: usize = 2 * CLUSTER;
const LEVEL1: usize = 3 * CLUSTER;
const LEVEL2: usize = 4 * CLUSTER;
const DATA: usize = 5 * CLUSTER;
const DISK_BYTES: u64 = 1 << 20;

/// A qcow2 file of version 3, as bytes: a disk of 1 MiB in clusters of 64 KiB, sound and empty at first.
#[derive(Clone, Debug)]
pub struct Hostile {
    bytes: Vec<u8>,
    /// Where the next header extension goes.
    extensions_end: usize,
}

impl Default for Hostile {
    fn default() -> Self {
        let plain = Self { bytes: vec![0; LEVEL2], extensions_end: HEADER_BYTES };
        let plain = plain.put(0, b"QFI\xfb").put32(4, 3).put32(20, 16).put64(24, DISK_BYTES);
        let plain = plain.put32(36, 1).put64(40, LEVEL1 as u64).put64(48, CLUSTER as u64).put32(56, 1);
        let plain = plain.put32(96, 4).put32(100, HEADER_BYTES as u32);
        (0..4).fold(plain.put64(CLUSTER, REFCOUNTS as u64), |image, cluster| image.refcount(cluster, 1))
    }
}

impl Hostile {
    /// The whole file.
    pub fn bytes(&self) -> Vec<u8> {
        self.bytes.clone()
    }

    /// Writes over what is at `at`.
    #[must_use]
    pub fn put(mut self, at: usize, bytes: &[u8]) -> Self {
        if self.bytes.len() < at + bytes.len() {
            self.bytes.resize(at + bytes.len(), 0);
        }
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// Writes a number of the header, as the format's document counts.
    #[must_use]
    pub fn put32(self, at: usize, number: u32) -> Self {
        self.put(at, &number.to_be_bytes())
    }

    /// The same, of 8 bytes.
    #[must_use]
    pub fn put64(self, at: usize, number: u64) -> Self {
        self.put(at, &number.to_be_bytes())
    }

    /// Cuts the file off.
    #[must_use]
    pub fn cut(mut self, bytes: usize) -> Self {
        self.bytes.truncate(bytes);
        self
    }

    /// Adds a header extension.
    #[must_use]
    pub fn extension(self, kind: u32, data: &[u8]) -> Self {
        let at = self.extensions_end;
        let image = self.put32(at, kind).put32(at + 4, data.len() as u32).put(at + 8, data);
        Self { extensions_end: at + 8 + data.len().next_multiple_of(8), ..image }
    }

    /// Names a backing file, of format `raw`.
    #[must_use]
    pub fn backing(self, name: &str) -> Self {
        const NAME_AT: usize = 4096;
        let image = self.extension(0xe279_2aca, b"raw");
        image.put64(8, NAME_AT as u64).put32(16, name.len() as u32).put(NAME_AT, name.as_bytes())
    }

    /// Names an external data file, and says by its feature bit that it has one.
    #[must_use]
    pub fn data_file(self, name: &str) -> Self {
        self.extension(0x4441_5441, name.as_bytes()).put64(72, 4)
    }

    /// All of the disk is one and the same cluster of data, and its reference counts are right.
    #[must_use]
    pub fn one_cluster_everywhere(self) -> Self {
        let clusters = DISK_BYTES as usize / CLUSTER;
        let image = self.put64(LEVEL1, LEVEL2 as u64 | 1 << 63).refcount(4, 1).refcount(5, clusters as u16);
        let image = (0..clusters).fold(image, |image, at| image.put64(LEVEL2 + 8 * at, DATA as u64));
        image.put(DATA, &[7; CLUSTER])
    }

    fn refcount(self, cluster: usize, count: u16) -> Self {
        self.put(REFCOUNTS + 2 * cluster, &count.to_be_bytes())
    }
}

/// A VMDK descriptor whose disk is the file `extent`, all of it.
pub fn vmdk_descriptor(extent: &str) -> String {
    format!(
        "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n\n\
         # Extent description\nRW 2048 FLAT \"{extent}\" 0\n\n\
         ddb.adapterType = \"ide\"\nddb.geometry.cylinders = \"2\"\nddb.geometry.heads = \"16\"\n\
         ddb.geometry.sectors = \"63\"\n"
    )
}

/// A sparse VMDK that has this descriptor within itself, in its second sector.
pub fn vmdk_sparse(descriptor: &str) -> Vec<u8> {
    let mut bytes = vec![0; 64 << 10];
    let words: [(usize, u64); 6] = [(12, 2048), (20, 128), (28, 1), (36, 20), (56, 0), (64, 64)];
    bytes[..12].copy_from_slice(b"KDMV\x01\0\0\0\x03\0\0\0");
    for (at, word) in words {
        bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
    }
    bytes[44..48].copy_from_slice(&512_u32.to_le_bytes());
    bytes[73..77].copy_from_slice(b"\n \r\n");
    bytes[512..512 + descriptor.len()].copy_from_slice(descriptor.as_bytes());
    bytes
}
