//! Overlays: their files, and the record of each that keeps its view.
//!
//! Promises: a record is on disk before its overlay; an overlay is let go only where its file was seen to be
//! gone, or to be no overlay any more; storage that hangs holds nobody up, and what it did not tell counts as
//! there.

mod access;
mod adopt;
mod base;
mod base_watch;
mod bottom;
mod canonical_path;
mod create;
mod file_state;
mod lease;
mod lease_plan;
mod maker;
mod pin;
mod qemu_lock;
mod reconcile;
mod remove;
mod scan;
mod scan_directory;
mod status;
mod watch;

pub use access::AccessError;
pub use adopt::AdoptOverlayError;
pub(super) use base::Bases;
pub use base_watch::BaseStates;
pub(super) use base_watch::BaseWatch;
pub(super) use bottom::{Backing, Bottom};
pub use create::{CreateOverlayError, OverlaySpec};
pub(super) use create::{Found, NotMade, Place};
pub(super) use lease::DamagedRecord;
pub use lease::{Lease, LeaseError, Stage};
pub(super) use lease_plan::LeasePlan;
pub use maker::OverlayMaker;
pub use pin::PinError;
pub(super) use pin::{Held, held};
pub use remove::RemoveOverlayError;
pub use watch::OverlayWatch;

use super::storage::Storage;
use crate::layout::Layout;
use bootstash_base::names::SnapshotName;
use bootstash_net::api::OverlayView;
use lease::{Leases, Records};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The overlays of this node.
#[derive(Debug)]
pub(super) struct Overlays {
    layout: Layout,
    maker: Arc<dyn OverlayMaker>,
    storage: Storage,
    bases: Bases,
    leases: Leases,
    /// Snapshots whose views stay though no record needs them: an overlay may that was not seen.
    spared: BTreeSet<SnapshotName>,
}

impl Overlays {
    /// Reads the records, and which of them are damaged.
    ///
    /// # Errors
    /// See [`LeaseError`].
    pub(super) fn load(
        maker: Arc<dyn OverlayMaker>,
        layout: Layout,
        storage: Storage,
        bases: Bases,
    ) -> Result<(Self, Vec<DamagedRecord>), LeaseError> {
        let (leases, damaged) = Leases::load(&layout.leases_dir)?;
        Ok((Self { layout, maker, storage, bases, leases, spared: BTreeSet::new() }, damaged))
    }

    /// Whether the view of a snapshot must stay.
    pub(super) fn need_view(&self, snapshot: &SnapshotName) -> bool {
        self.leases.uses(snapshot) || self.spared.contains(snapshot)
    }

    /// How many overlays chain onto the view of each snapshot.
    pub(super) fn count_by_snapshot(&self) -> BTreeMap<SnapshotName, usize> {
        count_by_snapshot(self.recorded())
    }

    /// The overlays on record, in order of path.
    pub(super) fn recorded(&self) -> impl Iterator<Item = &OverlayView> {
        self.leases.overlays()
    }

    /// The records.
    pub(super) fn leases(&self) -> &Records {
        self.leases.all()
    }
}

/// How many of these overlays chain onto the view of each snapshot.
pub(super) fn count_by_snapshot<'a>(
    overlays: impl IntoIterator<Item = &'a OverlayView>,
) -> BTreeMap<SnapshotName, usize> {
    let mut counts = BTreeMap::new();
    for overlay in overlays {
        *counts.entry(overlay.snapshot.clone()).or_default() += 1;
    }
    counts
}
