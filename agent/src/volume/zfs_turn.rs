//! One change of ZFS at a time, where it does not bear more: zfs-fuse has hung for ever when a view was made or destroyed
//! while it received.
//!
//! Promises: on any other ZFS nobody waits.

use bootstash_zfs::{Flavor, Zfs};
use std::sync::Arc;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// Whose turn it is. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct ZfsTurn(Option<Arc<Mutex<()>>>);

impl ZfsTurn {
    pub(super) fn of(zfs: &dyn Zfs) -> Self {
        let one_at_a_time = zfs.capabilities().flavor == Flavor::ZfsFuse;
        Self(one_at_a_time.then(Arc::default))
    }

    /// Waits for it; it ends with what is returned.
    pub(super) async fn take(&self) -> Option<OwnedMutexGuard<()>> {
        match &self.0 {
            Some(turn) => Some(Arc::clone(turn).lock_owned().await),
            None => None,
        }
    }
}
