//! Collecting: overlays whose files are gone, views nobody needs, then snapshots past the window.

use super::lease_plan::LeasePlan;
use super::{CollectError, ViewError, Volume};
use bootstash_base::clock;
use bootstash_base::error::{Classified, ErrorClass};
use bootstash_base::kill_point::{KillPoint, kill_point};
use bootstash_base::names::SnapshotName;
use bootstash_delta::retention;
use bootstash_delta::retention::SnapshotFate;
use bootstash_delta::retention::{Pin, SnapshotFacts};
use bootstash_net::api::{GcReport, OverlayView, ViewFate};
use bootstash_zfs::DestroyError;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What ZFS knows better than any record.
const IN_USE: &str = "ZFS says that it is in use";

impl Volume {
    /// Removes what may go, or says what would.
    pub(super) async fn collect(
        &mut self,
        window: Duration,
        dry_run: bool,
    ) -> Result<GcReport, CollectError> {
        self.read_volumes().await?;
        let mut plan = self.plan_leases(window).await;
        let mut views = self.idle_views(&plan);
        let mut fates = retention::plan(&self.facts(&plan), clock::now(), window);
        if !dry_run {
            let adopted = self.apply_plan(&plan);
            plan.released.retain(|released| self.leases.get(&released.path).is_none());
            self.restore_views_of(&adopted).await;
            self.drop_views(&mut views).await?;
            kill_point(KillPoint::NodeCollectViews);
            self.destroy_expired(&mut fates).await?;
            self.sweep_mountpoints();
            self.drop_replaced().await;
            self.read_volumes().await?;
        }
        let overlays_released = plan.released;
        Ok(GcReport { dry_run, snapshots: fates, views, overlays_released, ..GcReport::default() })
    }

    /// The views that no record needs, and what becomes of them.
    fn idle_views(&self, plan: &LeasePlan) -> Vec<ViewFate> {
        let (held, unconfirmed) = (plan.held(), self.unconfirmed(plan));
        let idle = self.views.present.iter().filter(|view| !held.contains(view));
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
        let held: BTreeSet<_> = plan.held().into_iter().chain(self.unconfirmed(plan)).collect();
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
        let mut counts = BTreeMap::new();
        for overlay in adopted {
            *counts.entry(overlay.snapshot.clone()).or_default() += 1;
        }
        for (snapshot, overlays) in counts {
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

    async fn destroy_expired(&mut self, fates: &mut [SnapshotFate]) -> Result<(), CollectError> {
        let Some(volume) = self.generations.current().map(|current| current.dataset.clone()) else {
            return Ok(());
        };
        for fate in fates.iter_mut().filter(|fate| !fate.keep) {
            match self.zfs.destroy_snapshot(&volume, &fate.name).await {
                Ok(_) => {
                    tracing::info!("collected {}: {}", fate.name, fate.reason);
                    kill_point(KillPoint::NodeCollectDestroyed);
                }
                Err(DestroyError::Busy { .. } | DestroyError::HasDependents { .. }) => {
                    fate.keep = true;
                    IN_USE.clone_into(&mut fate.reason);
                }
                Err(source) => return Err(CollectError::Snapshot { snapshot: fate.name.clone(), source }),
            }
        }
        Ok(())
    }
}
