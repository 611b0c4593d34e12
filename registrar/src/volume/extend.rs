//! Extending: an image whose cache nodes have already gets a larger one, by writing only what is new, so that the delta
//! which follows holds no more.
//!
//! Promises: the cache in the head is a whole one at each moment, with the old content or the new one. New data goes
//! behind the old first, then the tables which refer to it; whoever is cut off begins again and comes to the same end.

use super::VolumeError;
use super::import::{finish, io_error};
use bootstash_delta::catalog::CacheFacts;
use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

/// A cache that begins as another does.
pub(super) struct Extension {
    /// The clusters of metadata that differ, in ascending order.
    metadata: Vec<u64>,
    old: CacheFacts,
    new: CacheFacts,
}

impl Extension {
    /// How the cache `new` extends the one in the head, `old`; none where more than its metadata differs. Blocking.
    pub(super) fn between(
        old: (&Path, &CacheFacts),
        new: (&Path, &CacheFacts),
    ) -> Result<Option<Self>, VolumeError> {
        let ((old_path, old), (new_path, new)) = (old, new);
        let Some(metadata_bytes) = shared_metadata_bytes(old, new) else { return Ok(None) };
        let (old_file, new_file) = (open(old_path)?, open(new_path)?);
        let mut metadata = Vec::new();
        let (mut there, mut wanted) = (buffer(old), buffer(old));
        for cluster in 0..old.bytes / old.cluster_bytes {
            let at = cluster * old.cluster_bytes;
            // One that is damaged is replaced.
            if old_file.read_exact_at(&mut there, at).is_err() {
                return Ok(None);
            }
            new_file.read_exact_at(&mut wanted, at).map_err(|source| io_error(new_path, source))?;
            match there == wanted {
                true => (),
                false if at < metadata_bytes => metadata.push(cluster),
                false => return Ok(None),
            }
        }
        Ok(Some(Self { metadata, old: old.clone(), new: new.clone() }))
    }

    /// Writes what is new of the cache at `from` to the one at `to`. Blocking.
    pub(super) fn write(&self, from: &Path, to: &Path) -> Result<(), VolumeError> {
        if self.metadata.is_empty() && self.old.bytes == self.new.bytes {
            return Ok(());
        }
        let cluster_bytes = self.new.cluster_bytes;
        let appended = self.old.bytes / cluster_bytes..self.new.bytes / cluster_bytes;
        let source = open(from)?;
        let target = open_to_write(to).map_err(|source| io_error(to, source))?;
        let result = self.copy(&source, &target, appended).and_then(|()| {
            target.sync_data()?;
            self.copy(&source, &target, self.metadata.iter().rev().copied())?;
            finish(&target)
        });
        result.map_err(|source| io_error(to, source))
    }

    fn copy(&self, from: &File, to: &File, clusters: impl Iterator<Item = u64>) -> io::Result<()> {
        let mut cluster = buffer(&self.new);
        for number in clusters {
            let at = number * self.new.cluster_bytes;
            from.read_exact_at(&mut cluster, at)?;
            to.write_all_at(&cluster, at)?;
        }
        Ok(())
    }
}

/// Size of the metadata, which is in front of all data; none where the two differ in it.
fn shared_metadata_bytes(old: &CacheFacts, new: &CacheFacts) -> Option<u64> {
    let metadata = |facts: &CacheFacts| {
        let data = facts.data_clusters.checked_mul(facts.cluster_bytes)?;
        facts.bytes.checked_sub(data).filter(|_| facts.cluster_bytes == new.cluster_bytes)
    };
    metadata(old).filter(|bytes| metadata(new) == Some(*bytes) && new.bytes >= old.bytes)
}

fn buffer(facts: &CacheFacts) -> Vec<u8> {
    vec![0; usize::try_from(facts.cluster_bytes).unwrap_or(0)]
}

fn open(path: &Path) -> Result<File, VolumeError> {
    File::open(path).map_err(|source| io_error(path, source))
}

/// Caches are read-only, for their owner, too.
fn open_to_write(path: &Path) -> io::Result<File> {
    std::fs::set_permissions(path, Permissions::from_mode(0o644))?;
    OpenOptions::new().write(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    /// A cache with clusters of 4 bytes, the first two of which are metadata.
    fn cache(dir: &TempDir, name: &str, content: &str) -> (std::path::PathBuf, CacheFacts) {
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        let bytes = content.len() as u64;
        (path, CacheFacts { bytes, cluster_bytes: 4, data_clusters: bytes / 4 - 2, zero_clusters: 0 })
    }

    fn extension(dir: &TempDir, old: &str, new: &str) -> Option<Vec<u64>> {
        let (old, new) = (cache(dir, "old", old), cache(dir, "new", new));
        let extension = Extension::between((&old.0, &old.1), (&new.0, &new.1)).unwrap()?;
        extension.write(&new.0, &old.0).unwrap();
        assert_eq!(std::fs::read(&old.0).unwrap(), std::fs::read(&new.0).unwrap());
        assert_eq!(std::fs::metadata(&old.0).unwrap().permissions().mode() & 0o222, 0);
        Some(extension.metadata)
    }

    #[test]
    fn only_what_is_new_is_written() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(extension(&dir, "headtab1dat1", "headtab2dat1dat2dat3"), Some(vec![1]));
        assert_eq!(extension(&dir, "headtab1dat1", "HEADtab2dat1dat2"), Some(vec![0, 1]));
    }

    #[test]
    fn a_cache_with_other_data_or_fewer_is_no_extension() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(extension(&dir, "headtab1dat1", "headtab2datXdat2"), None);
        assert_eq!(extension(&dir, "headtab1dat1dat2", "headtab1dat1"), None);
        let old = cache(&dir, "old", "headtab1dat1");
        let cut = CacheFacts { bytes: 16, data_clusters: 2, ..old.1.clone() };
        let longer = cache(&dir, "new", "headtab1dat1dat2");
        assert!(Extension::between((&old.0, &cut), (&longer.0, &longer.1)).unwrap().is_none());
        let new = cache(&dir, "new", "headtab1tab2dat1");
        let more_metadata = CacheFacts { data_clusters: 1, ..new.1 };
        assert!(Extension::between((&old.0, &old.1), (&new.0, &more_metadata)).unwrap().is_none());
    }

    #[test]
    fn who_was_cut_off_comes_to_the_same_end() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (cache(&dir, "old", "headtab1dat1"), cache(&dir, "new", "headtab2dat1dat2"));
        for there in ["headtab1dat1da", "headtab1dat1dat2", "headtab2dat1dat2"] {
            std::fs::set_permissions(&old.0, Permissions::from_mode(0o644)).unwrap();
            std::fs::write(&old.0, there).unwrap();
            let extension = Extension::between((&old.0, &old.1), (&new.0, &new.1)).unwrap().unwrap();
            extension.write(&new.0, &old.0).unwrap();
            assert_eq!(std::fs::read_to_string(&old.0).unwrap(), "headtab2dat1dat2", "from {there}");
        }
    }
}
