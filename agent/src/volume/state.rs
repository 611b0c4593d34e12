//! What everybody but the owner sees of a volume: published after each change.

use super::{HeldView, Lease};
use bootstash_base::names::{DatasetName, SnapshotName};
use bootstash_delta::catalog::Catalog;
use bootstash_net::api::{OverlayView, ReplacedVolume};
use bootstash_zfs::{ResumeToken, Snapshot};
use std::sync::Arc;

/// A volume as it is between two changes.
#[derive(Clone, Debug, Default)]
pub struct VolumeState {
    /// The file system that is the volume now.
    pub dataset: Option<DatasetName>,
    /// Volumes that it replaced and that are still needed.
    pub replaced: Vec<ReplacedVolume>,
    /// Its snapshots, oldest first.
    pub snapshots: Vec<Snapshot>,
    /// Whether this node's ZFS can go on with a receive that was cut.
    pub resumable: bool,
    /// What one that was cut left to go on with.
    pub partial: Option<ResumeToken>,
    /// The snapshots that have a view.
    pub views: Vec<SnapshotName>,
    /// Those that overlays need and that are not at their place.
    pub unmounted: Vec<SnapshotName>,
    /// Views that are in use though no overlay needs them.
    pub held: Vec<HeldView>,
    /// The records of overlays, in order of path.
    pub leases: Vec<Arc<Lease>>,
    /// The images in the newest snapshot whose catalog was read.
    pub images: Catalog,
    /// That snapshot.
    pub images_of: Option<SnapshotName>,
}

impl VolumeState {
    /// The newest snapshot.
    pub fn head(&self) -> Option<&Snapshot> {
        self.snapshots.last()
    }

    /// Whether the images are those in the newest snapshot.
    pub fn catalog_is_current(&self) -> bool {
        self.images_of.as_ref() == self.head().map(|head| &head.name)
    }

    /// The overlays on record, in order of path.
    pub fn overlays(&self) -> impl ExactSizeIterator<Item = &OverlayView> {
        self.leases.iter().map(|lease| &lease.overlay)
    }

    /// How many overlays had no file when that was last looked at.
    pub fn missing_overlays(&self) -> usize {
        self.leases.iter().filter(|lease| lease.missing_since.is_some()).count()
    }
}
