//! Keeping views mounted that overlays chain onto: a ZFS that died and came back has mounted nothing.
//!
//! What a VM had open is lost with a daemon of zfs-fuse. A VM that starts finds its cache again, with
//! the same bytes.

use super::Views;
use crate::volume::storage::Storage;
use bootstash_base::error::Chain;
use bootstash_base::names::SnapshotName;
use bootstash_zfs::Made;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// How often to see whether they are.
pub(in crate::volume) const MOUNT_CHECK_INTERVAL: Duration = Duration::from_secs(10);
/// How long removing empty folders may take; the rest go next time.
const SWEEP_DEADLINE: Duration = Duration::from_secs(5);

impl Views {
    /// Removes folders that views were mounted on, where the view is gone and whoever destroyed it could
    /// not come to that. Only empty ones can be.
    pub(in crate::volume) async fn sweep_mountpoints(&self, storage: &Storage) {
        let wanted: Vec<_> = self.present.iter().map(|view| self.layout.mountpoint(view)).collect();
        let dir = self.layout.views_dir.clone();
        let sweep = move || remove_empty_others(&dir, &wanted);
        let swept = storage.ask(&self.layout.views_dir, Instant::now() + SWEEP_DEADLINE, sweep).await;
        if swept.is_none() {
            tracing::debug!("{} does not answer", self.layout.views_dir.display());
        }
    }

    /// Mounts those that overlays chain onto (how many), where they are not mounted any more. What fails is said
    /// once.
    pub(in crate::volume) async fn remount(&mut self, overlay_counts: BTreeMap<SnapshotName, usize>) {
        for (snapshot, overlays) in overlay_counts {
            let Ok(view) = self.layout.view(&snapshot) else { continue };
            if bootstash_zfs::is_mounted(&self.layout.mountpoint(&snapshot)).await {
                self.reported_unmounted.remove(&snapshot);
                continue;
            }
            match self.zfs.mount(&view).await {
                Ok(Made::Created) => tracing::warn!(
                    "mounted view {snapshot} again, which {overlays} overlays chain onto: its ZFS was restarted; \
                     restart their VMs, which have lost what they had open"
                ),
                Ok(Made::Unchanged) => {}
                Err(error) if self.reported_unmounted.insert(snapshot.clone()) => tracing::error!(
                    "view {snapshot}, which {overlays} overlays chain onto, is not mounted; trying again until it is: {}",
                    Chain(&error)
                ),
                Err(error) => tracing::debug!("still not mounted: {}", Chain(&error)),
            }
        }
    }
}

fn remove_empty_others(dir: &Path, wanted: &[PathBuf]) {
    let folders = std::fs::read_dir(dir).into_iter().flatten().flatten();
    for folder in folders.map(|folder| folder.path()).filter(|folder| !wanted.contains(folder)) {
        if std::fs::remove_dir(&folder).is_ok() {
            tracing::debug!("removed {}, on which nothing is mounted any more", folder.display());
        }
    }
}
