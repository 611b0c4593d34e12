//! Views: a mounted clone of a snapshot, shared by all overlays made at it.

use super::{ViewError, Volume};
use bootstash::fault::Chain;
use bootstash::lifecycle::{KillPoint, kill_point};
use bootstash::names::{DatasetName, SnapshotName};
use std::path::PathBuf;

impl Volume {
    /// The mounted view of a snapshot, made or mounted where it is not.
    pub(super) async fn ensure_view(&mut self, snapshot: &SnapshotName) -> Result<PathBuf, ViewError> {
        let (name, mountpoint) = (self.layout.view(snapshot)?, self.layout.mountpoint(snapshot));
        let mut failed = Err(ViewError::Missing { snapshot: snapshot.clone() });
        for volume in self.volumes_with(snapshot)? {
            match self.zfs.clone_snapshot(&volume, snapshot, &name, &mountpoint).await {
                Ok(_) => {
                    kill_point(KillPoint::ViewMade);
                    self.views.insert(snapshot.clone());
                    return Ok(mountpoint);
                }
                // The view that is there can be one of a volume that was replaced.
                Err(error) => failed = Err(error.into()),
            }
        }
        failed
    }

    /// The volumes that have a snapshot; the first of them is to make its view.
    fn volumes_with(&self, snapshot: &SnapshotName) -> Result<Vec<DatasetName>, ViewError> {
        let mut guid = None;
        let mut volumes = Vec::new();
        for generation in self.generations.holding(snapshot) {
            let found = generation.snapshots.iter().find(|it| it.name == *snapshot).map(|it| it.guid);
            if *guid.get_or_insert(found) != found {
                return Err(ViewError::Ambiguous { snapshot: snapshot.clone() });
            }
            volumes.push(generation.dataset.clone());
        }
        Ok(volumes)
    }

    /// Removes the view of a snapshot unless an overlay chains onto it.
    pub(super) async fn drop_view_unless_used(&mut self, snapshot: &SnapshotName) -> Result<(), ViewError> {
        if !self.views.contains(snapshot) || self.leases.uses(snapshot) {
            return Ok(());
        }
        self.zfs.destroy(&self.layout.view(snapshot)?).await?;
        kill_point(KillPoint::ViewDropped);
        self.views.remove(snapshot);
        Ok(())
    }

    /// As [`Self::drop_view_unless_used`], where the view going later does no harm.
    pub(super) async fn try_drop_view(&mut self, snapshot: &SnapshotName) {
        if let Err(error) = self.drop_view_unless_used(snapshot).await {
            tracing::info!("view {snapshot} stays until the next collection: {}", Chain(&error));
        }
    }

    /// After a start: mounts the views that overlays chain onto, and drops the others. ZFS may not
    /// have mounted them (zfs-fuse never does), and a crash can leave one that nobody uses.
    pub(super) async fn restore_views(&mut self) {
        for snapshot in self.views.clone() {
            self.try_drop_view(&snapshot).await;
        }
        for (snapshot, overlays) in self.overlays_by_snapshot() {
            if let Err(error) = self.ensure_view(&snapshot).await {
                tracing::error!(
                    "cannot mount view {snapshot}, which {overlays} overlays chain onto; their VMs cannot start: {}",
                    Chain(&error)
                );
            }
        }
    }

    pub(super) fn overlays_by_snapshot(&self) -> Vec<(SnapshotName, usize)> {
        let mut counts = std::collections::BTreeMap::new();
        for overlay in self.leases.overlays() {
            *counts.entry(overlay.snapshot.clone()).or_default() += 1;
        }
        counts.into_iter().collect()
    }
}
