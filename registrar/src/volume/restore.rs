//! Restore: a node's whole volume takes the place of our own, which is empty.
//!
//! Promises: a volume that holds anything is not touched; what breaks off leaves an empty volume, as it
//! was; nodes at the snapshot that came are in step with it, and those at an earlier one of its history
//! are known as such.

use super::import::COMMITTED;
use super::task::{VolumeTask, make_datasets};
use super::{VolumeError, publish};
use bootstash_base::error::Chain;
use bootstash_base::names::Guid;
use bootstash_delta::catalog;
use bootstash_zfs::{ByteStream, Snapshot};
use std::fmt;
use std::path::Path;

/// What to restore.
pub struct Restore {
    /// The snapshot that the stream leads to.
    pub to: Guid,
    /// Snapshots that came before it, which are not in the stream.
    pub history: Vec<Guid>,
    /// The stream.
    pub stream: ByteStream,
}

impl fmt::Debug for Restore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Restore").field("to", &self.to).finish_non_exhaustive()
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The newest snapshot.
    pub snapshot: Snapshot,
    /// How many images it holds.
    pub images: u64,
}

impl VolumeTask {
    pub(super) async fn restore(&mut self, restore: Restore) -> Result<Restored, VolumeError> {
        self.refuse_what_is_there().await?;
        let (to, history) = (restore.to, restore.history);
        let received = self.replace_by(restore.stream, to).await;
        self.publisher.forget();
        // Also after an error: there is always a volume, mounted.
        make_datasets(self.zfs.as_ref(), &self.layout).await?;
        self.images.forget();
        self.dirty = true;
        let snapshot = received?;
        // They are no snapshots here any more, and were once: what a collection leaves, too.
        let path = self.layout.deltas.clone();
        self.log.note_collected(history).await.map_err(|source| VolumeError::Io { path, source })?;
        self.publisher.publish_all().await.unwrap_or_else(|error| publish::log_failure(&error));
        let images = self.blocking(|mountpoint| Ok(catalog::read_all(&mountpoint)?.len() as u64)).await?;
        tracing::info!(snapshot = %snapshot.name, images, "volume restored");
        Ok(Restored { snapshot, images })
    }

    async fn refuse_what_is_there(&mut self) -> Result<(), VolumeError> {
        self.publisher.forget();
        if let Some(newest) = self.publisher.newest().await? {
            return Err(VolumeError::NotEmpty { what: format!("snapshot {}", newest.name) });
        }
        // Were it unmounted, an empty directory would speak for it.
        self.ensure_mounted().await?;
        match self.blocking(|mountpoint| first_file(&mountpoint)).await? {
            Some(what) => Err(VolumeError::NotEmpty { what }),
            None => Ok(()),
        }
    }

    /// Our own volume goes, and what `stream` brings comes, or nothing.
    async fn replace_by(&self, stream: ByteStream, to: Guid) -> Result<Snapshot, VolumeError> {
        let volume = &self.layout.volume;
        self.zfs.destroy(volume).await?;
        let got = self.zfs.receive(volume, stream).await?.to;
        if got.guid == to {
            return Ok(got);
        }
        if let Err(error) = self.zfs.destroy(volume).await {
            tracing::error!(error = %Chain(&error), "what was received stays, and is not what was announced");
        }
        Err(VolumeError::OtherSnapshot { wanted: to, got: got.guid })
    }
}

/// Something that lies in the volume beside an empty directory of images and our own mark. Blocking.
fn first_file(mountpoint: &Path) -> Result<Option<String>, VolumeError> {
    let images = catalog::images_dir(mountpoint);
    for dir in [&images, mountpoint] {
        let failed = |source| VolumeError::Io { path: dir.to_owned(), source };
        let entries = match std::fs::read_dir(dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            entries => entries.map_err(failed)?,
        };
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            if path != images && path != mountpoint.join(COMMITTED) {
                return Ok(Some(path.display().to_string()));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_directory_of_images_is_nothing_and_any_file_is_something() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(first_file(dir.path()).unwrap(), None);
        std::fs::create_dir(dir.path().join("images")).unwrap();
        assert_eq!(first_file(dir.path()).unwrap(), None);
        std::fs::create_dir(dir.path().join("images/.part-x")).unwrap();
        assert!(first_file(dir.path()).unwrap().unwrap().ends_with("images/.part-x"));
        std::fs::remove_dir(dir.path().join("images/.part-x")).unwrap();
        std::fs::write(dir.path().join(COMMITTED), "").unwrap();
        assert_eq!(first_file(dir.path()).unwrap(), None);
        std::fs::write(dir.path().join("notes"), "").unwrap();
        assert!(first_file(dir.path()).unwrap().unwrap().ends_with("notes"));
    }
}
