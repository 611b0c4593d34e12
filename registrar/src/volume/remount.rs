//! Keeping the head mounted: a ZFS that died and came back has mounted nothing.

use super::task::VolumeTask;
use super::{VolumeError, import};
use bootstash_base::error::Chain;
use bootstash_zfs::Made;
use std::time::Duration;

/// How often to look.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(10);

impl VolumeTask {
    /// Mounts the head where it is not mounted any more, and sweeps what was cut off in it.
    ///
    /// # Errors
    /// When it cannot be mounted: what is at its place is not the head then.
    pub(super) async fn ensure_mounted(&mut self) -> Result<(), VolumeError> {
        if self.zfs.mount(&self.layout.volume).await? == Made::Created {
            tracing::warn!(volume = %self.layout.volume, "was not mounted any more; mounted it again");
            self.images.forget();
            self.publisher.forget();
            self.blocking(|mountpoint| import::sweep(&mountpoint)).await?;
        }
        self.said_unmounted = false;
        Ok(())
    }

    /// The same, unasked and now and then. What fails is said once.
    pub(super) async fn keep_mounted(&mut self) {
        if bootstash_zfs::is_mounted(&self.layout.mountpoint).await {
            return;
        }
        match self.ensure_mounted().await {
            Ok(()) => {}
            Err(error) if !self.said_unmounted => {
                self.said_unmounted = true;
                tracing::error!(error = %Chain(&error), "the volume is not mounted; trying again until it is");
            }
            Err(error) => tracing::debug!(error = %Chain(&error), "still not mounted"),
        }
    }
}
