//! A base: where an image's bytes live, and whether they are still what was registered.

use super::ImageFormat;
use super::firmware::Firmware;
use bootstash_base::error::Classified;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

const SAMPLE_BYTES: usize = 64 * 1024;
const SAMPLES: u64 = 16;

/// Where an image's bytes live, what boots them, and how to tell that they are still the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Absolute path, the same on the storage node and on every compute node.
    pub path: PathBuf,
    /// Its format.
    pub format: ImageFormat,
    /// Size of the disk a guest sees, in bytes.
    pub virtual_size_bytes: u64,
    /// What it was when it was registered.
    pub identity: BaseIdentity,
    /// What boots it; all that was registered before this was written down was booted by BIOS.
    #[serde(default)]
    pub firmware: Firmware,
}

/// A base's identity: what the file system says of it, and a digest of its first 64 KiB and a
/// spread of blocks.
///
/// A node compares size and time only: that reads none of the base's bytes. The digest is for a
/// person (or a later version) who must tell two files of one size apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseIdentity {
    /// Size of the file, in bytes.
    pub size_bytes: u64,
    /// Its modification time, in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// BLAKE3 of 16 blocks of 64 KiB, evenly spread from the first byte to the last.
    pub sample_digest: String,
}

/// A base could not be read, or is no regular file.
#[derive(Debug, thiserror::Error, Classified)]
pub enum BaseReadError {
    /// Nothing there.
    #[error("the image {} does not exist on this host; check the path, and that its storage is mounted", .path.display())]
    #[class(permanent)]
    Missing {
        /// The base, by its absolute path.
        path: PathBuf,
    },
    /// A directory, a device, ….
    #[error("{} is not a regular file; give the path of a raw or qcow2 file", .path.display())]
    #[class(permanent)]
    NotAFile {
        /// The base, by its absolute path.
        path: PathBuf,
    },
    /// The file system fails, or denies access.
    #[error("cannot read {}", .path.display())]
    #[class(operator)]
    Io {
        /// The base, by its absolute path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl BaseIdentity {
    /// The identity of the file at `path` now. Blocking; reads at most 1 MiB.
    ///
    /// # Errors
    /// When it is missing, no regular file, or cannot be read.
    pub fn of(path: &Path) -> Result<Self, BaseReadError> {
        let metadata = regular_file(path)?;
        let digest = sample_digest(path, metadata.len())
            .map_err(|source| BaseReadError::Io { path: path.to_owned(), source })?;
        Ok(Self { size_bytes: metadata.len(), mtime_ns: mtime_ns(&metadata), sample_digest: digest })
    }

    /// Whether size and modification time of the file at `path` are still these. Reads no data.
    ///
    /// # Errors
    /// When it is missing, no regular file, or cannot be looked at.
    pub fn matches(&self, path: &Path) -> Result<bool, BaseReadError> {
        let metadata = regular_file(path)?;
        Ok(metadata.len() == self.size_bytes && mtime_ns(&metadata) == self.mtime_ns)
    }
}

fn regular_file(path: &Path) -> Result<std::fs::Metadata, BaseReadError> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(metadata),
        Ok(_) => Err(BaseReadError::NotAFile { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(BaseReadError::Missing { path: path.to_owned() })
        }
        Err(source) => Err(BaseReadError::Io { path: path.to_owned(), source }),
    }
}

fn mtime_ns(metadata: &std::fs::Metadata) -> i64 {
    metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec())
}

fn sample_digest(path: &Path, size: u64) -> io::Result<String> {
    let file = File::open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut block = vec![0; SAMPLE_BYTES];
    let last = size.saturating_sub(SAMPLE_BYTES as u64);
    for sample in 0..SAMPLES {
        let read = read_up_to(&file, &mut block, spread(last, sample))?;
        hasher.update(&block[..read]);
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// Where sample number `sample` begins; the last one begins exactly at `last`.
fn spread(last: u64, sample: u64) -> u64 {
    let gaps = SAMPLES - 1;
    last / gaps * sample + last % gaps * sample / gaps
}

fn read_up_to(file: &File, block: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < block.len() {
        match file.read_at(&mut block[filled..], offset + filled as u64)? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_a_change_of_time_or_size_and_names_what_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.raw");
        std::fs::write(&path, vec![7; 200_000]).unwrap();
        let identity = BaseIdentity::of(&path).unwrap();
        assert!(identity.matches(&path).unwrap());
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(std::time::SystemTime::UNIX_EPOCH)
            .unwrap();
        assert!(!identity.matches(&path).unwrap());
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(identity.matches(&path), Err(BaseReadError::Missing { .. })));
        assert!(matches!(BaseIdentity::of(dir.path()), Err(BaseReadError::NotAFile { .. })));
    }

    #[test]
    fn digest_covers_both_ends() {
        let dir = tempfile::tempdir().unwrap();
        let digest = |bytes: &[u8]| {
            let path = dir.path().join("b.raw");
            std::fs::write(&path, bytes).unwrap();
            BaseIdentity::of(&path).unwrap().sample_digest
        };
        let plain = digest(&vec![0; 3_000_000]);
        let mut first = vec![0; 3_000_000];
        first[0] = 1;
        let mut last = vec![0; 3_000_000];
        last[2_999_999] = 1;
        assert_ne!(plain, digest(&first));
        assert_ne!(plain, digest(&last));
    }
}
