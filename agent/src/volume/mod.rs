//! The node's volume: one task owns it and makes all changes, one after the other; but overlays, which wait for no
//! receive, and are made many at a time.
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
mod handle;
pub(crate) mod holders;
mod keep_views;
mod open;
mod overlay_lifecycle;
mod overlays;
mod pins;
mod requests;
mod state;
mod storage;
mod task;
mod views;
mod zfs_turn;

#[cfg(test)]
mod tests;

pub use catalog::CatalogReadError;
pub use collect::CollectError;
pub use generations::{ApplyError, Incoming};
pub use handle::VolumeHandle;
pub use open::OpenError;
pub use overlays::{
    AccessError, AdoptOverlayError, BaseStates, CreateOverlayError, Lease, LeaseError, OverlayMaker,
    OverlaySpec, OverlayWatch, PinError, RemoveOverlayError, Stage,
};
pub use requests::Stopping;
pub use state::VolumeState;
pub use views::{HeldView, ViewError};

use crate::layout::Layout;
use bootstash_base::names::SnapshotName;
use bootstash_delta::DeltaRecord;
use bootstash_delta::catalog::Catalog;
use bootstash_zfs::{Receive, Snapshot, Zfs};
use catalog::Manifests;
use generations::{Ended, Generations, Receiving, open_delta};
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
    manifests: Manifests,
    published: watch::Sender<VolumeState>,
    cancel: CancellationToken,
}

impl Volume {
    /// Makes ready to apply the verified file of a delta; that of a full stream becomes a volume of its own.
    async fn begin_apply(&mut self, record: DeltaRecord, file: &Path) -> Result<Receiving, ApplyError> {
        if let Some(from) = record.from {
            return self.generations.begin_apply(record, from, file).await;
        }
        let stream = open_delta(&record, file).await?;
        self.generations.begin_whole(Incoming { to: record.to, how: Receive::NonResumable, stream }).await
    }

    /// Takes note of what was received. What was there before a whole volume stays as long as a view stands on it.
    async fn end_receive(&mut self, ended: Ended) -> Result<Snapshot, ApplyError> {
        let is_whole = ended.is_whole();
        let received = self.generations.end(ended).await;
        if is_whole && received.is_ok() {
            // Nobody is to look for the old one while it goes.
            self.publish();
            self.generations.drop_replaced().await;
        }
        self.generations.drop_postponed().await;
        self.restore_awaited_views().await;
        received
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
