//! The node's volume: one task owns it and makes all changes, one after the other.
//!
//! Promises: a record of an overlay is on disk before the overlay; a view in use is never removed; a
//! delta is applied only to the snapshot it was made from. What can be seen of it is published after
//! each change ([`VolumeState`]), so that looking never waits for a change under way.

mod abortable;
mod apply;
mod catalog;
mod chain;
mod collect;
mod error;
mod in_use;
mod incoming;
mod lease;
mod open;
mod overlay_maker;
mod path;
mod remove;
mod state;
mod task;
mod view;

#[cfg(test)]
mod tests;

pub use error::{
    ApplyError, CatalogReadError, CollectError, CreateOverlayError, OpenError, RemoveOverlayError, Stopping,
    ViewError,
};
pub use incoming::Incoming;
pub use lease::LeaseError;
pub use overlay_maker::OverlayMaker;
pub use state::VolumeState;
pub use task::VolumeHandle;

use crate::layout::Layout;
use bootstash::catalog::Manifest;
use bootstash::names::SnapshotName;
use bootstash::zfs::{ReadError, ResumeToken, Snapshot, Zfs};
use lease::Leases;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The volume in the hands of its owner.
#[derive(Debug)]
pub struct Volume {
    zfs: Arc<dyn Zfs>,
    overlays: Arc<dyn OverlayMaker>,
    layout: Layout,
    leases: Leases,
    views: BTreeSet<SnapshotName>,
    snapshots: Vec<Snapshot>,
    partial: Option<ResumeToken>,
    images: Arc<Vec<Manifest>>,
    published: watch::Sender<VolumeState>,
    cancel: CancellationToken,
}

impl Volume {
    fn head(&self) -> Option<&Snapshot> {
        self.snapshots.last()
    }

    async fn read_snapshots(&mut self) -> Result<(), ReadError> {
        self.snapshots = self.zfs.snapshots(&self.layout.volume).await?;
        self.partial = self.zfs.partial(&self.layout.volume).await?;
        Ok(())
    }

    fn publish(&self) {
        self.published.send_replace(VolumeState {
            snapshots: self.snapshots.clone(),
            resumable: self.zfs.capabilities().resumable_receive,
            partial: self.partial.clone(),
            views: self.views.iter().cloned().collect(),
            overlays: self.leases.overlays().cloned().collect(),
            images: Arc::clone(&self.images),
        });
    }
}
