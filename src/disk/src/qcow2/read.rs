//! Reading a cache file that exists: which clusters it holds itself, and their bytes.
//!
//! Promises: no other file is opened, whatever its header names; what it lacks is told apart from what
//! it marks as zero. All of it blocks: `imago` is asynchronous in form and blocks in fact.

use super::{CLUSTER_BYTES, ClusterRuns};
use imago::file::File as ImagoFile;
use imago::qcow2::Qcow2;
use imago::{DenyImplicitOpenGate, FormatAccess, FormatDriverBuilder, Mapping, StorageOpenOptions};
use std::fs::File;
use std::io;
use std::path::Path;
use tokio::runtime::Handle;

/// An entry of a table.
const ENTRY_BYTES: u64 = 8;

/// A cache file opened for reading.
#[derive(Debug)]
pub struct CacheFile {
    image: FormatAccess<ImagoFile>,
    runtime: Handle,
    file_bytes: u64,
}

/// Which clusters a cache file holds itself, as `qemu-img map` would tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllocationMap {
    /// The clusters with data, in ascending order.
    pub data: Vec<u64>,
    /// The clusters marked as zero.
    pub zeros: ClusterRuns,
    /// Whether a cluster is compressed, which our writer never does; it is in neither of the others.
    pub compressed: bool,
}

impl CacheFile {
    /// Opens the cache at `path`, a qcow2 file with our clusters. Blocks; call on a thread for that, in
    /// a runtime.
    ///
    /// # Errors
    /// Where it cannot be opened, or is no qcow2 file that stands alone but for its backing file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let (file, runtime) = (File::open(path)?, Handle::current());
        let file_bytes = file.metadata()?.len();
        let storage = ImagoFile::from_open_file(file, StorageOpenOptions::new())?;
        let alone = Qcow2::<ImagoFile>::builder(storage).backing(None);
        let image = FormatAccess::new(runtime.block_on(alone.open(DenyImplicitOpenGate::default()))?);
        Ok(Self { image, runtime, file_bytes })
    }

    /// What it holds. Blocks; asks `go_on` between tables, and ends early where that fails.
    ///
    /// # Errors
    /// What reading met, or `go_on` said.
    pub fn allocation_map(&self, mut go_on: impl FnMut() -> io::Result<()>) -> io::Result<AllocationMap> {
        let (mut map, mut offset) = (AllocationMap::default(), 0);
        let room = usize::try_from(self.file_bytes / CLUSTER_BYTES).unwrap_or(usize::MAX);
        // Each mapping is an entry of a table, or more.
        let mut entries = self.file_bytes / ENTRY_BYTES;
        while offset < self.image.size() {
            go_on()?;
            entries = entries
                .checked_sub(1)
                .ok_or_else(|| io::Error::other("it has fewer tables than its disk"))?;
            let rest = self.image.size() - offset;
            let (mapping, length) = self.runtime.block_on(self.image.get_mapping(offset, rest))?;
            let clusters = offset / CLUSTER_BYTES..(offset + length).div_ceil(CLUSTER_BYTES);
            match mapping {
                Mapping::Raw { .. } => map.data.extend(clusters.take(room + 1)),
                Mapping::Zero { explicit: true, .. } => map.zeros.append(clusters),
                Mapping::Zero { .. } => (),
                Mapping::Eof { .. } => break,
                _ => map.compressed = true,
            }
            // Tables that name one cluster many times make a disk of a small file.
            if map.data.len() > room {
                return Err(io::Error::other("it names more clusters than it has"));
            }
            offset += length;
        }
        Ok(map)
    }

    /// Fills `buffer` from `offset`, both within the disk. Blocks.
    ///
    /// # Errors
    /// What reading met.
    pub fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.runtime.block_on(self.image.read(buffer, offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ImageFormat;
    use crate::qcow2::{Layout, write};

    /// Spans two second-level tables, and ends within a cluster.
    const SIZE: u64 = 9000 * CLUSTER_BYTES + 512;

    fn made(path: &Path) -> Layout {
        let mut zeros = ClusterRuns::default();
        zeros.append(2..40);
        zeros.append(8190..8200);
        let data = vec![1, 41, 8189, 9000];
        let layout =
            Layout::new(SIZE, data, zeros, Path::new("/nowhere/base.raw"), ImageFormat::Raw).unwrap();
        let read = |buffer: &mut [u8], offset: u64| {
            buffer.fill(u8::try_from(offset / CLUSTER_BYTES % 251).unwrap());
            Ok(())
        };
        write(&layout, read, &mut File::create_new(path).unwrap()).unwrap();
        layout
    }

    #[test]
    fn a_small_file_that_claims_a_large_disk_is_refused() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _entered = runtime.enter();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache.qcow2");
        made(&path);
        let mut bytes = std::fs::read(&path).unwrap();
        let number = |bytes: &[u8], at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
        let first_table = usize::try_from(number(&bytes, 40)).unwrap();
        let table = usize::try_from(number(&bytes, first_table) & 0x00ff_ffff_ffff_fe00).unwrap();
        // Guest cluster 1 holds data; now all of the table's do, and it is the same.
        let entry = bytes[table + 8..table + 16].to_vec();
        for at in 0..8192 {
            bytes[table + at * 8..table + at * 8 + 8].copy_from_slice(&entry);
        }
        std::fs::write(&path, bytes).unwrap();
        let error = CacheFile::open(&path).unwrap().allocation_map(|| Ok(())).unwrap_err();
        assert!(error.to_string().contains("more clusters"), "{error}");
    }

    #[test]
    fn a_disk_too_large_for_the_tables_ends() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _entered = runtime.enter();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache.qcow2");
        made(&path);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[24..32].copy_from_slice(&(1_u64 << 62).to_be_bytes());
        std::fs::write(&path, &bytes).unwrap();
        let mut looks = 0;
        let map = CacheFile::open(&path).unwrap().allocation_map(|| {
            looks += 1;
            Ok(())
        });
        assert!(map.unwrap_err().to_string().contains("fewer tables"));
        assert!(looks <= bytes.len() / 8 + 1, "{looks} looks");
    }

    #[test]
    fn what_was_written_is_read_back_without_its_base() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _entered = runtime.enter();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache.qcow2");
        let layout = made(&path);
        let file = CacheFile::open(&path).unwrap();
        let map = file.allocation_map(|| Ok(())).unwrap();
        assert_eq!(map.data, layout.data());
        assert_eq!(map.zeros.runs(), [2..40, 8190..8200]);
        assert!(!map.compressed);
        let mut last = [0; 512];
        file.read(&mut last, 9000 * CLUSTER_BYTES).unwrap();
        assert_eq!(last, [u8::try_from(9000 % 251).unwrap(); 512]);
        assert!(
            file.allocation_map(|| Err(io::ErrorKind::Interrupted.into())).is_err(),
            "would not be stopped"
        );
    }
}
