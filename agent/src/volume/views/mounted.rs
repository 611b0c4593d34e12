//! Whether views are where overlays look for them, and the folders they were mounted on.

use super::{ViewError, Views};
use crate::volume::storage::Storage;
use bootstash_base::error::{Chain, Classified, ErrorClass};
use bootstash_base::names::SnapshotName;
use bootstash_zfs::Made;
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

    /// Whether the view of a snapshot is mounted at its place. One whose ZFS does not answer is: mounting it again
    /// would only wait with it.
    pub(in crate::volume) async fn is_at_its_place(&mut self, snapshot: &SnapshotName) -> bool {
        let Ok(name) = self.name(snapshot) else { return true };
        let found = self.zfs.check_mounted_at(&name, &self.layout.mountpoint(snapshot)).await;
        match found {
            Ok(device) => {
                self.devices.insert(name, device);
                self.reported_unmounted.remove(snapshot);
                true
            }
            Err(error) => error.kind() == ErrorClass::Transient,
        }
    }

    /// Those of which the log says that they are not at their place.
    pub(in crate::volume) fn unmounted(&self) -> impl Iterator<Item = &SnapshotName> {
        self.reported_unmounted.iter()
    }

    /// Takes note that it is at its place.
    pub(in crate::volume) fn note_mounted(&mut self, snapshot: &SnapshotName) {
        self.reported_unmounted.remove(snapshot);
    }

    /// Takes note that the log tells of the overlays whose view is gone.
    pub(in crate::volume) fn note_reported(&mut self, snapshot: &SnapshotName) {
        self.reported_unmounted.insert(snapshot.clone());
    }

    /// Says what became of a view that so many overlays chain onto and that was not at its place; of what fails, once.
    /// Whether anything was said.
    pub(in crate::volume) fn report_brought_back(
        &mut self,
        snapshot: &SnapshotName,
        overlays: usize,
        outcome: &Result<Made, ViewError>,
    ) -> bool {
        if outcome.is_ok() {
            self.note_mounted(snapshot);
        }
        match outcome {
            Ok(Made::Created) => tracing::warn!(
                "made view {snapshot} anew, which {overlays} overlays chain onto: somebody destroyed it; restart \
                 their VMs, which have lost what they had open"
            ),
            Ok(Made::Unchanged) => tracing::warn!(
                "mounted view {snapshot} again, which {overlays} overlays chain onto: its ZFS was restarted, or \
                 somebody unmounted it; restart their VMs, which have lost what they had open"
            ),
            Err(error) if !self.reported_unmounted.insert(snapshot.clone()) => {
                tracing::debug!("still not at its place: {}", Chain(error));
                return false;
            }
            // What to do about each of its overlays is told beside.
            Err(error) if error.is_missing() => {}
            Err(error) => tracing::error!(
                "view {snapshot}, which {overlays} overlays chain onto, is not at its place; trying again until it \
                 is: {}",
                Chain(error)
            ),
        }
        true
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
