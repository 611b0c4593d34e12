//! Removing an overlay, and its view with the last one.

use super::{RemoveOverlayError, Volume, in_use, path};
use bootstash::lifecycle::{KillPoint, kill_point};
use bootstash::zfs::Removed;
use std::io;
use std::path::Path;

impl Volume {
    /// Removes the overlay at `given`: the file, then its record, then the view nobody needs any more.
    pub(super) async fn remove_overlay(&mut self, given: &Path) -> Result<Removed, RemoveOverlayError> {
        let path = path::resolved(given).unwrap_or_else(|| given.to_owned());
        let Some(lease) = self.leases.get(&path) else {
            return match path.symlink_metadata() {
                Ok(_) => Err(RemoveOverlayError::Foreign { path }),
                Err(_) => Ok(Removed::Unchanged),
            };
        };
        let snapshot = lease.overlay.snapshot.clone();
        remove_file(&path)?;
        kill_point(KillPoint::OverlayRemoved);
        self.leases.remove(&path)?;
        kill_point(KillPoint::LeaseRemoved);
        tracing::info!("removed overlay {}", path.display());
        self.try_drop_view(&snapshot).await;
        self.drop_replaced().await;
        Ok(Removed::Removed)
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
