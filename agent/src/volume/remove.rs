//! Removing an overlay, and its view with the last one.

use super::mounts::Mounts;
use super::{RemoveOverlayError, Volume, in_use, path};
use bootstash::lifecycle::{KillPoint, kill_point};
use bootstash::zfs::Removed;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// How long the storage of an overlay may take to let go of it.
const DEADLINE: Duration = Duration::from_secs(20);

impl Volume {
    /// Removes the overlay at `given`: the file, then its record, then the view nobody needs any more.
    pub(super) async fn remove_overlay(&mut self, given: &Path) -> Result<Removed, RemoveOverlayError> {
        let path = self.real_path(given).await?;
        let Some(lease) = self.leases.get(&path) else {
            return match self.ask_at(&path, |path| path.symlink_metadata()).await? {
                Ok(_) => Err(RemoveOverlayError::Foreign { path }),
                Err(_) => Ok(Removed::Unchanged),
            };
        };
        let snapshot = lease.overlay.snapshot.clone();
        self.ask_at(&path, remove_file).await??;
        kill_point(KillPoint::OverlayRemoved);
        self.leases.remove(&path)?;
        kill_point(KillPoint::LeaseRemoved);
        tracing::info!("removed overlay {}", path.display());
        self.try_drop_view(&snapshot).await;
        self.drop_replaced().await;
        Ok(Removed::Removed)
    }

    /// As it stands on record, if it does: then nothing needs to be looked up.
    async fn real_path(&self, given: &Path) -> Result<PathBuf, RemoveOverlayError> {
        if self.leases.get(given).is_some() {
            return Ok(given.to_owned());
        }
        let resolved = self.ask_at(given, path::resolved).await?;
        Ok(resolved.unwrap_or_else(|| given.to_owned()))
    }

    /// What the storage of the file at `path` says, if it does in time.
    async fn ask_at<T: Send + 'static>(
        &self,
        path: &Path,
        look: impl FnOnce(&Path) -> T + Send + 'static,
    ) -> Result<T, RemoveOverlayError> {
        let (at, file) = (Mounts::read().holding(path), path.to_owned());
        let asked = self.storage.ask(&at, Instant::now() + DEADLINE, move || look(&file)).await;
        asked.ok_or_else(|| RemoveOverlayError::Silent { path: path.to_owned() })
    }
}

fn remove_file(path: &Path) -> Result<(), RemoveOverlayError> {
    let failed = |source| RemoveOverlayError::Io { path: path.to_owned(), source };
    match in_use::is_open_in_qemu(path) {
        Ok(true) => Err(RemoveOverlayError::InUse { path: path.to_owned() }),
        Ok(false) => std::fs::remove_file(path).map_err(failed),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(error)),
    }
}
