//! Views: a mounted clone of a snapshot, shared by all overlays made at it.

use super::{ViewError, Volume};
use bootstash_base::error::{Chain, Classified, ErrorClass};
use bootstash_base::kill_point::{KillPoint, kill_point};
use bootstash_base::names::{DatasetName, SnapshotName};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// The views, by snapshot.
#[derive(Debug, Default)]
pub(super) struct Views {
    /// Those that exist.
    pub(super) present: BTreeSet<SnapshotName>,
    /// Those that stay though no record needs them: an overlay may that was not seen.
    pub(super) spared: BTreeSet<SnapshotName>,
    /// Those of which it was said that they are in use.
    pub(super) busy: BTreeSet<SnapshotName>,
}

impl Volume {
    /// The mounted view of a snapshot, made or mounted where it is not.
    pub(super) async fn ensure_view(&mut self, snapshot: &SnapshotName) -> Result<PathBuf, ViewError> {
        let (name, mountpoint) = (self.layout.view(snapshot)?, self.layout.mountpoint(snapshot));
        let mut failed = Err(ViewError::Missing { snapshot: snapshot.clone() });
        for volume in self.volumes_with(snapshot)? {
            match self.zfs.clone_snapshot(&volume, snapshot, &name, &mountpoint).await {
                Ok(_) => {
                    kill_point(KillPoint::ViewMade);
                    self.views.present.insert(snapshot.clone());
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
        for generation in self.generations.with_snapshot(snapshot) {
            let found = generation.snapshots.iter().find(|it| it.name == *snapshot).map(|it| it.guid);
            if *guid.get_or_insert(found) != found {
                return Err(ViewError::Ambiguous { snapshot: snapshot.clone() });
            }
            volumes.push(generation.dataset.clone());
        }
        Ok(volumes)
    }

    /// Whether the view of a snapshot must stay.
    fn needs_view(&self, snapshot: &SnapshotName) -> bool {
        self.leases.uses(snapshot) || self.views.spared.contains(snapshot)
    }

    /// Removes the view of a snapshot unless an overlay chains onto it, or may.
    pub(super) async fn drop_view_unless_used(&mut self, snapshot: &SnapshotName) -> Result<(), ViewError> {
        if !self.views.present.contains(snapshot) || self.needs_view(snapshot) {
            return Ok(());
        }
        let dropped = self.zfs.destroy(&self.layout.view(snapshot)?).await;
        if let Err(error) = dropped {
            if error.kind() == ErrorClass::Busy && self.views.busy.insert(snapshot.clone()) {
                tracing::info!(
                    "view {snapshot} is in use though no overlay needs it, and stays until it is not"
                );
            }
            return Err(error.into());
        }
        kill_point(KillPoint::ViewDropped);
        self.views.present.remove(snapshot);
        self.views.busy.remove(snapshot);
        Ok(())
    }

    /// As [`Self::drop_view_unless_used`], where the view going later does no harm.
    pub(super) async fn try_drop_view(&mut self, snapshot: &SnapshotName) {
        match self.drop_view_unless_used(snapshot).await {
            // That was said.
            Err(error) if error.kind() == ErrorClass::Busy => (),
            Err(error) => {
                tracing::info!("view {snapshot} stays until the next collection: {}", Chain(&error));
            }
            Ok(()) => (),
        }
    }

    /// After a start: mounts the views that overlays chain onto, and drops the others. ZFS may not
    /// have mounted them (zfs-fuse never does), and a crash can leave one that nobody uses.
    pub(super) async fn restore_views(&mut self) {
        let leaked: Vec<_> =
            self.views.present.iter().filter(|view| !self.needs_view(view)).cloned().collect();
        for snapshot in leaked {
            tracing::info!("dropping view {snapshot}, which no overlay needs");
            self.try_drop_view(&snapshot).await;
        }
        for (snapshot, overlays) in self.overlays_by_snapshot() {
            self.restore_view(&snapshot, overlays).await;
        }
    }

    /// MountTable a view that overlays chain onto; makes it anew if its snapshot is still there.
    pub(super) async fn restore_view(&mut self, snapshot: &SnapshotName, overlays: usize) {
        match self.ensure_view(snapshot).await {
            // What to do about each of them is told once the images are known.
            Ok(_) | Err(ViewError::Missing { .. }) => (),
            Err(error) => tracing::error!(
                "cannot mount view {snapshot}, which {overlays} overlays chain onto; their VMs cannot start: {}",
                Chain(&error)
            ),
        }
    }

    pub(super) fn overlays_by_snapshot(&self) -> BTreeMap<SnapshotName, usize> {
        let mut counts = BTreeMap::new();
        for overlay in self.leases.overlays() {
            *counts.entry(overlay.snapshot.clone()).or_default() += 1;
        }
        counts
    }
}
