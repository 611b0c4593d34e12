//! The node's volume: one task owns it and makes all changes, one after the other.
//!
//! [`Generations`] are the data sets that are received, [`Views`] the mounted clones of their snapshots,
//! [`Overlays`] the files that chain onto those. Each owns its own; what takes more than one is here.
//!
//! Promises: a record of an overlay is on disk before the overlay; a view in use is never removed; a
//! delta is applied only to the snapshot it was made from. What can be seen of it is published after
//! each change ([`VolumeState`]), so that looking never waits for a change under way.

mod catalog;
mod collect;
mod generations;
pub(crate) mod holders;
mod keep_views;
mod open;
mod overlay_lifecycle;
mod overlays;
mod pins;
mod state;
mod storage;
mod task;
mod views;

#[cfg(test)]
mod tests;

pub use catalog::CatalogReadError;
pub use collect::CollectError;
pub use generations::{ApplyError, Incoming};
pub use open::OpenError;
pub use overlays::{
    AccessError, AdoptOverlayError, BaseStates, CreateOverlayError, Lease, LeaseError, OverlayMaker,
    OverlaySpec, OverlayWatch, PinError, RemoveOverlayError, Stage,
};
pub use state::VolumeState;
pub use task::{Stopping, VolumeHandle};
pub use views::{HeldView, ViewError};

use crate::layout::Layout;
use bootstash_base::names::SnapshotName;
use bootstash_delta::DeltaRecord;
use bootstash_delta::catalog::Catalog;
use bootstash_zfs::{Receive, Snapshot, Zfs};
use generations::{Generations, open_delta};
use overlays::{BaseWatch, Overlays};
use std::path::Path;
use std::sync::Arc;
use storage::Storage;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use views::Views;

/// The volume in the hands of its owner.
#[derive(Debug)]
pub struct Volume {
    zfs: Arc<dyn Zfs>,
    layout: Layout,
    storage: Storage,
    base_watch: BaseWatch,
    overlays: Overlays,
    views: Views,
    generations: Generations,
    /// Those in the newest snapshot whose catalog was read.
    images: Catalog,
    images_of: Option<SnapshotName>,
    published: watch::Sender<VolumeState>,
    cancel: CancellationToken,
}

impl Volume {
    /// Applies the verified file of a delta; that of a full stream becomes a volume of its own.
    async fn apply(&mut self, record: &DeltaRecord, file: &Path) -> Result<Snapshot, ApplyError> {
        if let Some(from) = record.from {
            return self.generations.apply(record, from, file).await;
        }
        let stream = open_delta(record, file).await?;
        self.receive_full(Incoming { to: record.to, how: Receive::NonResumable, stream }).await
    }

    /// Receives a whole volume. What was there before stays as long as a view stands on it.
    async fn receive_full(&mut self, incoming: Incoming) -> Result<Snapshot, ApplyError> {
        let received = self.generations.receive_full(incoming).await?;
        // Nobody is to look for the old one while it goes.
        self.publish();
        self.generations.drop_replaced().await;
        Ok(received)
    }

    fn publish(&self) {
        self.published.send_replace(VolumeState {
            dataset: self.generations.current().map(|current| current.dataset.clone()),
            snapshots: self.generations.snapshots().to_vec(),
            replaced: self.generations.replaced_volumes(),
            resumable: self.zfs.capabilities().resumable_receive,
            partial: self.generations.partial().cloned(),
            views: self.views.present().iter().cloned().collect(),
            unmounted: self.unmounted_views(),
            held: self.views.held(|snapshot| self.overlays.need_view(snapshot)),
            leases: self.overlays.leases().values().cloned().collect(),
            images: self.images.clone(),
            images_of: self.images_of.clone(),
        });
    }
}
