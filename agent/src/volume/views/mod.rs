//! Views: a mounted clone of a snapshot, shared by all overlays made at it.
//!
//! Promises: a view that ZFS says is in use stays, and is told of once. Whether an overlay needs one is not
//! known here: who drops a view has asked.

mod remount;

use crate::layout::Layout;
use bootstash_base::error::{Chain, Classified, ErrorClass};
use bootstash_base::kill_point::{KillPoint, kill_point};
use bootstash_base::names::{DatasetName, NameError, SnapshotName};
use bootstash_zfs::{CloneError, DestroyError, ReadError, Role, Zfs};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use thiserror::Error;

pub(super) use remount::MOUNT_CHECK_INTERVAL;

/// A view could not be made or mounted.
#[derive(Debug, Error, Classified)]
pub enum ViewError {
    /// The configured names are too long.
    #[error(transparent)]
    #[class(operator)]
    Name(#[from] NameError),
    /// No volume here has the snapshot.
    #[error("no volume of this node has the snapshot {snapshot}")]
    #[class(permanent)]
    Missing {
        /// The snapshot.
        snapshot: SnapshotName,
    },
    /// Two volumes have different snapshots of one name.
    #[error(
        "two volumes of this node have different snapshots called {snapshot}; drop the one that was replaced"
    )]
    #[class(operator)]
    Ambiguous {
        /// The snapshot.
        snapshot: SnapshotName,
    },
    /// The snapshot cannot be cloned, or the clone not mounted.
    #[error(transparent)]
    #[class(source)]
    Clone(Box<CloneError>),
    /// The clone cannot be destroyed.
    #[error(transparent)]
    #[class(source)]
    Destroy(#[from] DestroyError),
}

impl From<CloneError> for ViewError {
    fn from(error: CloneError) -> Self {
        Self::Clone(Box::new(error))
    }
}

/// The views, by snapshot.
#[derive(Debug)]
pub(super) struct Views {
    zfs: Arc<dyn Zfs>,
    layout: Layout,
    present: BTreeSet<SnapshotName>,
    /// Those of which the log says that they are in use.
    reported_in_use: BTreeSet<SnapshotName>,
    /// Those of which the log says that they are not mounted.
    reported_unmounted: BTreeSet<SnapshotName>,
}

impl Views {
    /// The views that are there, which need not be mounted.
    ///
    /// # Errors
    /// Where ZFS does not say.
    pub(super) async fn read(zfs: Arc<dyn Zfs>, layout: Layout) -> Result<Self, ReadError> {
        let mut present = BTreeSet::new();
        for name in zfs.children(&layout.views).await? {
            // Somebody else's can have any name.
            if let Ok(snapshot) = name.leaf().parse()
                && zfs.dataset(&name).await?.is_some_and(|found| found.role == Some(Role::View))
            {
                present.insert(snapshot);
            }
        }
        let (reported_in_use, reported_unmounted) = (BTreeSet::new(), BTreeSet::new());
        Ok(Self { zfs, layout, present, reported_in_use, reported_unmounted })
    }

    /// The snapshots that have a view.
    pub(super) fn present(&self) -> &BTreeSet<SnapshotName> {
        &self.present
    }

    /// The mounted view of a snapshot, made or mounted where it is not. The first of the `datasets` that have
    /// the snapshot is to make it.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub(super) async fn ensure(
        &mut self,
        snapshot: &SnapshotName,
        datasets: &[DatasetName],
    ) -> Result<PathBuf, ViewError> {
        let (name, mountpoint) = (self.layout.view(snapshot)?, self.layout.mountpoint(snapshot));
        let mut failed = Err(ViewError::Missing { snapshot: snapshot.clone() });
        for dataset in datasets {
            match self.zfs.clone_snapshot(dataset, snapshot, &name, &mountpoint).await {
                Ok(_) => {
                    kill_point(KillPoint::ViewMade);
                    self.present.insert(snapshot.clone());
                    return Ok(mountpoint);
                }
                // The view that is there can be one of a volume that was replaced.
                Err(error) => failed = Err(error.into()),
            }
        }
        failed
    }

    /// Removes the view of a snapshot, if there is one.
    ///
    /// # Errors
    /// See [`ViewError`]; the view then stays.
    pub(super) async fn destroy(&mut self, snapshot: &SnapshotName) -> Result<(), ViewError> {
        if !self.present.contains(snapshot) {
            return Ok(());
        }
        let destroyed = self.zfs.destroy(&self.layout.view(snapshot)?).await;
        if let Err(error) = destroyed {
            if error.kind() == ErrorClass::Busy && self.reported_in_use.insert(snapshot.clone()) {
                tracing::info!(
                    "view {snapshot} is in use though no overlay needs it, and stays until it is not"
                );
            }
            return Err(error.into());
        }
        kill_point(KillPoint::ViewDropped);
        self.present.remove(snapshot);
        self.reported_in_use.remove(snapshot);
        Ok(())
    }

    /// As [`Self::destroy`], where the view going later does no harm.
    pub(super) async fn try_destroy(&mut self, snapshot: &SnapshotName) {
        match self.destroy(snapshot).await {
            // That was said.
            Err(error) if error.kind() == ErrorClass::Busy => (),
            Err(error) => {
                tracing::info!("view {snapshot} stays until the next collection: {}", Chain(&error));
            }
            Ok(()) => (),
        }
    }
}
