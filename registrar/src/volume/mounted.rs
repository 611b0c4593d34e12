//! Keeping the head mounted: a ZFS that died and came back has mounted nothing.

use super::task::VolumeTask;
use bootstash::fault::Chain;
use bootstash::zfs::{self, Made};
use std::time::Duration;

/// How often to look.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(5);

impl VolumeTask {
    /// Mounts the head where it is not mounted any more. What fails is said once.
    pub(super) async fn keep_mounted(&mut self) {
        if zfs::is_mounted(&self.layout.mountpoint).await {
            self.said_unmounted = false;
            return;
        }
        match self.zfs.mount(&self.layout.volume).await {
            Ok(Made::Created) => {
                tracing::warn!(volume = %self.layout.volume, "was not mounted any more; mounted it again");
            }
            Ok(Made::Unchanged) => {}
            Err(error) if !self.said_unmounted => {
                self.said_unmounted = true;
                tracing::error!(error = %Chain(&error), "the volume is not mounted; trying again until it is");
            }
            Err(error) => tracing::debug!(error = %Chain(&error), "still not mounted"),
        }
    }
}
