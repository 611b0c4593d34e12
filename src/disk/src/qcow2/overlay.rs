//! The file of an overlay that holds nothing yet, as `qemu-img create -o cluster_size=128k,extended_l2=on` lays it out.
//! Pure: what is not zero, and where.
//!
//! 128 KiB clusters of 32 subclusters: a guest's 4 KiB write then fills nothing from the backing chain. With plain
//! clusters it would read the rest of the cluster from the base.

use super::backing::BACKING_MAX_BYTES;
use super::header::EXTENDED_L2;
use bootstash_base::error::Classified;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const CLUSTER_BITS: u32 = 17;
const CLUSTER_BYTES: u64 = 1 << CLUSTER_BITS;
/// Of 16 bytes each: what one second-level table maps.
const LEVEL2_ENTRIES: u64 = CLUSTER_BYTES / 16;
const LEVEL2_BYTES: u64 = LEVEL2_ENTRIES * CLUSTER_BYTES;
/// QEMU opens no file with a longer first-level table.
const LEVEL1_MAX_BYTES: u64 = 32 << 20;
const HEADER_BYTES: u32 = 112;
/// Of 2 bytes each.
const REFCOUNT_ORDER: u32 = 4;
const SECTOR_BYTES: u64 = 512;
const BACKING_FORMAT: u32 = 0xe279_2aca;
const BACKING_FORMAT_NAME: &[u8] = b"qcow2";
const FEATURE_NAMES: u32 = 0x6803_f857;
const FEATURE_NAME_BYTES: usize = 46;
/// What a QEMU that does not know the feature is to call it.
const EXTENDED_L2_NAME: &[u8] = b"extended L2 entries";
const REFCOUNT_TABLE_AT: u64 = CLUSTER_BYTES;
const REFCOUNT_BLOCK_AT: u64 = 2 * CLUSTER_BYTES;
const LEVEL1_AT: u64 = 3 * CLUSTER_BYTES;

/// An overlay before it is written: zeros, but for two pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmptyOverlay {
    header: Vec<u8>,
    level1_clusters: u64,
}

/// No overlay can be laid out so.
#[derive(Debug, thiserror::Error, Classified)]
#[class(permanent)]
pub enum OverlayLayoutError {
    /// QEMU would not take the name from the file's header.
    #[error("the path {} is not absolute or longer than 1023 bytes; use a shorter views_dir", .path.display())]
    BackingPath {
        /// What it was to be chained onto.
        path: PathBuf,
    },
    /// QEMU has no such disk.
    #[error("a disk of {virtual_size_bytes} bytes is larger than any that QEMU has in a qcow2 file")]
    Size {
        /// Size of the disk.
        virtual_size_bytes: u64,
    },
}

impl EmptyOverlay {
    /// One of a disk of at least `virtual_size_bytes`, up to whole sectors, which reads all from the qcow2 file `backing`.
    ///
    /// # Errors
    /// See [`OverlayLayoutError`].
    pub fn new(virtual_size_bytes: u64, backing: &Path) -> Result<Self, OverlayLayoutError> {
        if !backing.is_absolute() || backing.as_os_str().len() > BACKING_MAX_BYTES {
            return Err(OverlayLayoutError::BackingPath { path: backing.to_owned() });
        }
        let level1_entries = virtual_size_bytes.div_ceil(LEVEL2_BYTES);
        let level1_bytes = level1_entries * 8;
        let sectors_bytes = virtual_size_bytes.checked_next_multiple_of(SECTOR_BYTES);
        let (Some(size), Ok(entries), true) =
            (sectors_bytes, u32::try_from(level1_entries), level1_bytes <= LEVEL1_MAX_BYTES)
        else {
            return Err(OverlayLayoutError::Size { virtual_size_bytes });
        };
        let level1_clusters = level1_bytes.div_ceil(CLUSTER_BYTES).max(1);
        Ok(Self { header: header(size, entries, backing), level1_clusters })
    }

    /// Length of the file.
    pub fn file_bytes(&self) -> u64 {
        LEVEL1_AT + self.level1_clusters * CLUSTER_BYTES
    }

    /// Has `put` write what is not zero, at its offsets.
    ///
    /// # Errors
    /// What that met.
    pub fn write(&self, mut put: impl FnMut(&[u8], u64) -> io::Result<()>) -> io::Result<()> {
        put(&self.header, 0)?;
        put(&REFCOUNT_BLOCK_AT.to_be_bytes(), REFCOUNT_TABLE_AT)?;
        // Of header, refcount table, refcount block, and the first-level table.
        let referred = 1_u16.to_be_bytes().repeat((3 + self.level1_clusters) as usize);
        put(&referred, REFCOUNT_BLOCK_AT)
    }
}

fn header(virtual_size_bytes: u64, level1_entries: u32, backing: &Path) -> Vec<u8> {
    let name = backing.as_os_str().as_bytes();
    let extensions = extensions();
    let name_at = u64::from(HEADER_BYTES) + extensions.len() as u64;
    let (none, one_cluster) = (0_u32, 1_u32);
    let parts: [&[u8]; 21] = [
        b"QFI\xfb",
        &3_u32.to_be_bytes(),
        &name_at.to_be_bytes(),
        &(name.len() as u32).to_be_bytes(),
        &CLUSTER_BITS.to_be_bytes(),
        &virtual_size_bytes.to_be_bytes(),
        // Encryption.
        &none.to_be_bytes(),
        &level1_entries.to_be_bytes(),
        &LEVEL1_AT.to_be_bytes(),
        &REFCOUNT_TABLE_AT.to_be_bytes(),
        &one_cluster.to_be_bytes(),
        // Internal snapshots.
        &none.to_be_bytes(),
        &0_u64.to_be_bytes(),
        // Incompatible, compatible and autoclear features.
        &EXTENDED_L2.to_be_bytes(),
        &0_u64.to_be_bytes(),
        &0_u64.to_be_bytes(),
        &REFCOUNT_ORDER.to_be_bytes(),
        &HEADER_BYTES.to_be_bytes(),
        // Compression by zlib, and padding.
        &0_u64.to_be_bytes(),
        &extensions,
        name,
    ];
    parts.concat()
}

fn extensions() -> Vec<u8> {
    let mut feature = vec![0, EXTENDED_L2.trailing_zeros() as u8];
    feature.extend(EXTENDED_L2_NAME);
    feature.resize(2 + FEATURE_NAME_BYTES, 0);
    let end = [0; 8];
    [extension(BACKING_FORMAT, BACKING_FORMAT_NAME), extension(FEATURE_NAMES, &feature), end.to_vec()]
        .concat()
}

fn extension(kind: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = [kind.to_be_bytes(), (data.len() as u32).to_be_bytes()].concat();
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::header::{Extensions, parse};
    use super::*;

    fn bytes(overlay: &EmptyOverlay) -> Vec<u8> {
        let mut file = vec![0; overlay.file_bytes() as usize];
        let put = |piece: &[u8], at: u64| {
            let at = at as usize;
            assert!(file[at..at + piece.len()].iter().all(|byte| *byte == 0), "pieces overlap at {at}");
            file[at..at + piece.len()].copy_from_slice(piece);
            Ok(())
        };
        overlay.write(put).unwrap();
        file
    }

    #[test]
    fn its_header_says_where_all_is() {
        let backing = Path::new("/views/x/cache.qcow2");
        let file = bytes(&EmptyOverlay::new(3 << 30, backing).unwrap());
        let header = parse(&file).unwrap();
        assert_eq!((header.version, header.virtual_size_bytes, header.cluster_bits), (3, 3 << 30, 17));
        assert_eq!((header.level1.offset, header.level1.count), (0x6_0000, 3));
        assert_eq!((header.refcounts.offset, header.refcounts.count), (0x2_0000, 1));
        assert!(header.has(EXTENDED_L2) && header.tables_end() <= file.len() as u64);
        let extensions = Extensions::read(&header, &file).unwrap();
        assert!(!header.data_file(&extensions) && !header.encrypted(&extensions));
        let name = header.backing.unwrap();
        assert_eq!(&file[name.offset as usize..][..name.bytes as usize], backing.as_os_str().as_bytes());
    }

    #[test]
    fn a_disk_has_whole_sectors_and_a_first_level_table_of_whole_clusters() {
        let overlay = |bytes| EmptyOverlay::new(bytes, Path::new("/b"));
        let size = |bytes| parse(&overlay(bytes).unwrap().header).unwrap().virtual_size_bytes;
        assert_eq!((size(1), size(512), size(513)), (512, 512, 1024));
        for (disk, clusters) in [(1_u64, 1), (16 << 40, 1), ((16 << 40) + 1, 2), (64 << 40, 4)] {
            assert_eq!(overlay(disk).unwrap().file_bytes(), (3 + clusters) * CLUSTER_BYTES, "{disk}");
        }
    }

    #[test]
    fn what_qemu_would_not_open_is_not_made() {
        let long = Path::new("/").join("x".repeat(BACKING_MAX_BYTES));
        for (disk, backing) in [
            (1, Path::new("relative")),
            (1, &long),
            ((4 << 50) + 1, Path::new("/b")),
            (u64::MAX, Path::new("/b")),
        ] {
            assert!(EmptyOverlay::new(disk, backing).is_err(), "{disk} {}", backing.display());
        }
        EmptyOverlay::new(4 << 50, Path::new("/b")).unwrap();
    }
}
