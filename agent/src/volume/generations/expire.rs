//! Snapshots past the window.

use super::Generations;
use crate::volume::collect::{CollectError, IN_USE};
use bootstash_base::kill_point::{KillPoint, kill_point};
use bootstash_delta::retention::SnapshotFate;
use bootstash_zfs::DestroyError;

impl Generations {
    /// Destroys those of the node's volume that are not to be kept, and notes which ZFS says are in use.
    pub(in crate::volume) async fn destroy_expired(
        &self,
        fates: &mut [SnapshotFate],
    ) -> Result<(), CollectError> {
        let Some(volume) = self.current().map(|current| current.dataset.clone()) else {
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
