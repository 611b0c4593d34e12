//! Collecting: overlays whose files are gone, views nobody needs, then snapshots past the window.

use super::overlays::{LeasePlan, count_by_snapshot};
use super::{Stopping, ViewError, Volume};
use bootstash_base::clock;
use bootstash_base::error::{Classified, ErrorClass};
use bootstash_base::kill_point::{KillPoint, kill_point};
use bootstash_base::names::SnapshotName;
use bootstash_delta::retention;
use bootstash_delta::retention::{Keep, Pin, SnapshotFacts};
use bootstash_net::api::{GcReport, OverlayView, ViewFate};
use bootstash_zfs::{DestroyError, ReadError};
use std::collections::BTreeSet;
use thiserror::Error;

/// What ZFS knows better than any record.
pub(super) const IN_USE: &str = "ZFS says that it is in use";

/// Collecting broke off; what went before stays gone.
#[derive(Debug, Error, Classified)]
pub enum CollectError {
    /// A snapshot.
    #[error("cannot collect snapshot {snapshot}")]
    #[class(source)]
    Snapshot {
        /// The snapshot.
        snapshot: SnapshotName,
        /// The error that caused it.
        source: DestroyError,
    },
    /// A view.
    #[error(transparent)]
    #[class(source)]
    View(#[from] ViewError),
    /// The state of ZFS.
    #[error(transparent)]
    #[class(source)]
    Read(#[from] ReadError),
    /// The agent stops.
    #[error(transparent)]
    #[class(cancelled)]
    Stopping(#[from] Stopping),
}

impl Volume {
    /// Removes what may go, or says what would.
    pub(super) async fn collect(&mut self, keep: Keep, dry_run: bool) -> Result<GcReport, CollectError> {
        self.generations.refresh().await?;
        let mut plan = self.overlays.plan(keep.window).await;
        let mut views = self.idle_views(&plan);
        let mut fates = retention::plan(&self.facts(&plan), clock::now(), keep);
        if !dry_run {
            let adopted = self.overlays.apply_plan(&plan, self.views.present()).await;
            plan.released.retain(|released| !self.overlays.leases().contains_key(&released.path));
            self.restore_views_of(&adopted).await;
            self.views.drop_set_aside().await;
            self.drop_views(&mut views).await?;
            kill_point(KillPoint::NodeCollectViews);
            self.generations.destroy_expired(&mut fates).await?;
            self.views.sweep_mountpoints(&self.storage).await;
            self.generations.drop_replaced().await;
            self.generations.refresh().await?;
        }
        let overlays_released = plan.released;
        Ok(GcReport { dry_run, snapshots: fates, views, overlays_released, ..GcReport::default() })
    }

    /// The views that no record needs, and what becomes of them.
    fn idle_views(&self, plan: &LeasePlan) -> Vec<ViewFate> {
        let (held, unconfirmed) = (plan.held(), plan.unconfirmed(self.views.present()));
        let idle = self.views.present().iter().filter(|view| !held.contains(view));
        let fate = |snapshot: &SnapshotName| {
            let keep = unconfirmed.contains(snapshot);
            let reason = match keep {
                true => "an overlay that could not be seen may need it",
                false => "no overlay needs it",
            };
            ViewFate { snapshot: snapshot.clone(), keep, reason: reason.to_owned() }
        };
        idle.map(fate).collect()
    }

    fn facts(&self, plan: &LeasePlan) -> Vec<SnapshotFacts> {
        let held: BTreeSet<_> =
            plan.held().into_iter().chain(plan.unconfirmed(self.views.present())).collect();
        let pins = |name: &SnapshotName| held.contains(name).then_some(Pin::View).into_iter().collect();
        self.generations
            .snapshots()
            .iter()
            .map(|snapshot| SnapshotFacts {
                pins: pins(&snapshot.name),
                name: snapshot.name.clone(),
                created: snapshot.created,
            })
            .collect()
    }

    /// The views of overlays that were found without a record.
    async fn restore_views_of(&mut self, adopted: &[OverlayView]) {
        for (snapshot, overlays) in count_by_snapshot(adopted) {
            self.restore_view(&snapshot, overlays).await;
        }
        self.report_lost_caches(adopted);
    }

    async fn drop_views(&mut self, fates: &mut [ViewFate]) -> Result<(), CollectError> {
        for fate in fates.iter_mut().filter(|fate| !fate.keep) {
            match self.drop_view_unless_used(&fate.snapshot).await {
                Ok(()) => tracing::info!("collected view {}: {}", fate.snapshot, fate.reason),
                Err(ViewError::Destroy(error)) if error.kind() == ErrorClass::Busy => {
                    fate.keep = true;
                    IN_USE.clone_into(&mut fate.reason);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
