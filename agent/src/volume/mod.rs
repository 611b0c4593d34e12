//! The node's volume: one task owns it and makes all changes, one after the other.
//!
//! Promises: a record of an overlay is on disk before the overlay; a view in use is never removed; a
//! delta is applied only to the snapshot it was made from. What can be seen of it is published after
//! each change ([`VolumeState`]), so that looking never waits for a change under way.

mod abortable;
mod apply;
mod canonical_path;
mod catalog;
mod chain;
mod collect;
mod error;
mod file_state;
mod generation;
mod incoming;
mod lease;
mod lease_plan;
mod mount_table;
mod open;
mod overlay_maker;
mod overlay_status;
mod qemu_lock;
mod reconcile;
mod remount;
mod remove;
mod scan;
mod scan_directory;
mod state;
mod storage;
mod task;
mod view;

#[cfg(test)]
mod tests;

pub use error::{
    ApplyError, CatalogReadError, CollectError, CreateOverlayError, OpenError, RemoveOverlayError, Stopping,
    ViewError,
};
pub use incoming::Incoming;
pub use lease::{Lease, LeaseError, Stage};
pub use overlay_maker::OverlayMaker;
pub use state::VolumeState;
pub use task::VolumeHandle;

use crate::layout::Layout;
use bootstash_base::names::SnapshotName;
use bootstash_delta::catalog::Manifest;
use bootstash_net::api::ReplacedVolume;
use bootstash_zfs::{ReadError, ResumeToken, Snapshot, Zfs};
use generation::{Generation, Generations};
use lease::Leases;
use std::collections::BTreeSet;
use std::sync::Arc;
use storage::Storage;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use view::Views;

/// The volume in the hands of its owner.
#[derive(Debug)]
pub struct Volume {
    zfs: Arc<dyn Zfs>,
    overlays: Arc<dyn OverlayMaker>,
    layout: Layout,
    leases: Leases,
    storage: Storage,
    views: Views,
    generations: Generations,
    /// What a cut receive of a whole volume left.
    partial: Option<ResumeToken>,
    images: Arc<Vec<Manifest>>,
    /// Views of which the log says that they are not mounted.
    reported_unmounted: BTreeSet<SnapshotName>,
    published: watch::Sender<VolumeState>,
    cancel: CancellationToken,
}

impl Volume {
    fn head(&self) -> Option<&Snapshot> {
        self.generations.snapshots().last()
    }

    async fn read_volumes(&mut self) -> Result<(), ReadError> {
        self.generations = Generations::find(self.zfs.as_ref(), &self.layout).await?;
        self.partial = match self.generations.partially_received() {
            Some(begun) => self.zfs.partial(&begun.dataset).await?,
            None => None,
        };
        Ok(())
    }

    /// The volumes that were replaced and are still there.
    fn replaced(&self) -> Vec<ReplacedVolume> {
        let view = |generation: &Generation| ReplacedVolume {
            dataset: generation.dataset.clone(),
            snapshot: generation.snapshots.last().map(|newest| newest.name.clone()),
            unknown: std::fs::read_to_string(self.layout.unknown_note(generation.number)).ok(),
        };
        self.generations.replaced().map(view).collect()
    }

    fn publish(&self) {
        self.published.send_replace(VolumeState {
            dataset: self.generations.current().map(|current| current.dataset.clone()),
            snapshots: self.generations.snapshots().to_vec(),
            replaced: self.replaced(),
            resumable: self.zfs.capabilities().resumable_receive,
            partial: self.partial.clone(),
            views: self.views.present.iter().cloned().collect(),
            leases: self.leases.all().values().cloned().collect(),
            images: Arc::clone(&self.images),
        });
    }
}
