//! The head at its place: nothing is written, and no snapshot taken, unless what is seen at the mount point is the
//! volume. A ZFS that died and came back has mounted nothing; `zfs set mountpoint` mounts it elsewhere.

use super::task::VolumeTask;
use super::{VolumeError, import};
use bootstash_base::error::{Chain, Classified, ErrorClass};
use bootstash_zfs::Made;
use std::path::PathBuf;
use std::time::Duration;

/// How often to look.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(10);

impl VolumeTask {
    /// Mounts the head where it is not mounted any more, and sweeps what was cut off in it.
    ///
    /// # Errors
    /// When what is at its place is not the head then.
    pub(super) async fn ensure_mounted(&mut self) -> Result<(), VolumeError> {
        let mounted = self.zfs.mount(&self.layout.volume).await?;
        self.check_place().await?;
        if mounted == Made::Created {
            tracing::warn!(volume = %self.layout.volume, "was not mounted any more; mounted it again");
            self.images.forget();
            self.publisher.forget();
            self.blocking(|mountpoint| import::sweep(&mountpoint)).await?;
        }
        self.said_unmounted = false;
        Ok(())
    }

    async fn check_place(&self) -> Result<(), VolumeError> {
        self.zfs.check_mounted_at(&self.layout.volume, &self.layout.mountpoint).await?;
        Ok(())
    }

    /// Changes files of the head. It is looked at afterwards, too: what was mounted elsewhere meanwhile may have left
    /// a part of the change in another file system, and is no success.
    pub(super) async fn change<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(PathBuf) -> Result<T, VolumeError> + Send + 'static,
    ) -> Result<T, VolumeError> {
        self.ensure_mounted().await?;
        let done = self.blocking(work).await?;
        self.check_place().await?;
        Ok(done)
    }

    /// [`Self::ensure_mounted`], unasked and now and then. What fails is said once.
    pub(super) async fn keep_mounted(&mut self) {
        match self.check_place().await {
            Ok(()) => return,
            // It hangs: mounting it again would only wait with it.
            Err(error) if error.kind() == ErrorClass::Transient => return,
            Err(_) => {}
        }
        match self.ensure_mounted().await {
            Ok(()) => {}
            Err(error) if !self.said_unmounted => {
                self.said_unmounted = true;
                tracing::error!(
                    error = %Chain(&error),
                    "the volume is not at its place, and nothing is registered until it is"
                );
            }
            Err(error) => tracing::debug!(error = %Chain(&error), "still not at its place"),
        }
    }
}
