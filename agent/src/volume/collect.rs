//! Collecting: views nobody uses, then snapshots past the window.

use super::{CollectError, Volume};
use bootstash::api::{GcReport, SnapshotFate};
use bootstash::clock;
use bootstash::lifecycle::{KillPoint, kill_point};
use bootstash::names::SnapshotName;
use bootstash::retention::{self, Pin, SnapshotFacts};
use bootstash::zfs::DestroyError;
use std::time::Duration;

impl Volume {
    /// Removes what may go, or says what would.
    pub(super) async fn collect(
        &mut self,
        window: Duration,
        dry_run: bool,
    ) -> Result<GcReport, CollectError> {
        self.read_volumes().await?;
        let unused: Vec<_> = self.views.iter().filter(|view| !self.leases.uses(view)).cloned().collect();
        let mut fates = retention::plan(&self.facts(), clock::now(), window);
        if !dry_run {
            for view in &unused {
                self.drop_view_unless_used(view).await?;
            }
            kill_point(KillPoint::NodeCollectViews);
            self.destroy_expired(&mut fates).await?;
            self.sweep_mountpoints();
            self.drop_replaced().await;
            self.read_volumes().await?;
        }
        Ok(GcReport { dry_run, snapshots: fates, views_removed: unused, ..GcReport::default() })
    }

    fn facts(&self) -> Vec<SnapshotFacts> {
        let pins = |name: &SnapshotName| self.leases.uses(name).then_some(Pin::View).into_iter().collect();
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
                    "ZFS says that it is in use".clone_into(&mut fate.reason);
                }
                Err(source) => return Err(CollectError::Snapshot { snapshot: fate.name.clone(), source }),
            }
        }
        Ok(())
    }
}
