//! Bringing the records into line with what is on disk: at start, and before anything is collected.

use super::lease::{DamagedRecord, Lease, LeaseError};
use super::lease_plan::LeasePlan;
use super::{Overlays, scan};
use bootstash_base::clock;
use bootstash_base::error::Chain;
use bootstash_base::names::SnapshotName;
use bootstash_base::quoted_path::shown;
use bootstash_net::api::OverlayView;
use chrono::TimeDelta;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// A gone overlay is let go after so long, if the window is not even shorter.
const LONGEST_GRACE: Duration = Duration::from_secs(24 * 3600);

impl Overlays {
    /// After a start, before any view goes: overlays without a record get one, and those whose files are
    /// gone are noted.
    pub(in crate::volume) async fn reconcile(
        &mut self,
        damaged: Vec<DamagedRecord>,
        views: &BTreeSet<SnapshotName>,
    ) -> Result<(), LeaseError> {
        let scan = scan::scan(&self.storage, &self.layout, self.leases.all()).await;
        for record in damaged {
            self.leases.set_aside(record, &scan.found)?;
        }
        let plan = LeasePlan::of(self.leases.all(), scan, clock::now(), None);
        self.apply_plan(&plan, views).await;
        Ok(())
    }

    /// The records as a collection is to make them.
    pub(in crate::volume) async fn plan(&self, window: Duration) -> LeasePlan {
        let grace = TimeDelta::from_std(window.min(LONGEST_GRACE)).unwrap_or(TimeDelta::MAX);
        let scan = scan::scan(&self.storage, &self.layout, self.leases.all()).await;
        LeasePlan::of(self.leases.all(), scan, clock::now(), Some(grace))
    }

    /// Makes the records what the plan says. One that cannot be written is told, and what it would
    /// have kept is spared. Returns the overlays that got a record.
    pub(in crate::volume) async fn apply_plan(
        &mut self,
        plan: &LeasePlan,
        views: &BTreeSet<SnapshotName>,
    ) -> Vec<OverlayView> {
        let mut adopted = Vec::new();
        self.spared = plan.unconfirmed(views);
        for (path, lease) in &plan.records {
            let before = self.leases.get(path).cloned();
            if before.as_ref() == Some(lease.as_ref()) {
                continue;
            }
            if let Err(error) = self.leases.put(lease.as_ref().clone()).await {
                tracing::error!("{}; the view it keeps stays for now", Chain(&error));
                self.spared.insert(lease.overlay.snapshot.clone());
            } else if before.is_none_or(|before| before.overlay != lease.overlay) {
                log_adopted(lease);
                adopted.push(lease.overlay.clone());
            }
        }
        self.release(plan).await;
        adopted
    }

    async fn release(&mut self, plan: &LeasePlan) {
        let gone = |path: &&PathBuf| !plan.records.contains_key(*path);
        let gone: Vec<_> = self.leases.all().keys().filter(gone).cloned().collect();
        for path in gone {
            if let Err(error) = self.leases.remove(&path).await {
                tracing::warn!("{} stays on record: {}", shown(&path), Chain(&error));
                continue;
            }
            let released = plan.released.iter().find(|released| released.path == path);
            let reason = released.map_or("", |released| released.reason.as_str());
            tracing::info!("let go of overlay {}: {reason}", shown(&path));
        }
    }
}

fn log_adopted(lease: &Lease) {
    let overlay = &lease.overlay;
    tracing::info!(
        "found overlay {} of {} on {}, which had no record",
        shown(&overlay.path),
        overlay.image,
        overlay.snapshot
    );
}
