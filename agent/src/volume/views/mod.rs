//! Views: a mounted clone of a snapshot, shared by all overlays made at it.
//!
//! Promises: what is handed out as a view is the clone, and not what lies below its mount point; a view that ZFS
//! says is in use stays, and is told of once. Whether an overlay needs one is not known here: who drops a view has
//! asked.

mod held;
mod mounted;

use super::zfs_turn::ZfsTurn;
use crate::layout::Layout;
use bootstash_base::error::{Chain, Classified, ErrorClass};
use bootstash_base::kill_point::{KillPoint, kill_point};
use bootstash_base::mount_table::DeviceNumber;
use bootstash_base::names::{DatasetName, NameError, SnapshotName};
use bootstash_zfs::{CloneError, DestroyError, Made, MountError, MountPointError, ReadError, Role, Zfs};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

pub use held::HeldView;
pub(super) use mounted::MOUNT_CHECK_INTERVAL;

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
    /// It was here until somebody destroyed it.
    #[error(
        "the snapshot {snapshot} is gone from this node: it was destroyed by hand; the agent catches up again, and \
         `bootstash status` tells how that goes"
    )]
    #[class(transient)]
    Gone {
        /// The snapshot.
        snapshot: SnapshotName,
    },
    /// Two volumes have different snapshots of one name.
    #[error(
        "two volumes of this node have different snapshots called {snapshot}; once no overlay needs the older one, drop \
         it: `zfs destroy -r {replaced}`"
    )]
    #[class(operator)]
    Ambiguous {
        /// The snapshot.
        snapshot: SnapshotName,
        /// The older volume.
        replaced: DatasetName,
    },
    /// The snapshot cannot be cloned, or the clone not mounted.
    #[error(transparent)]
    #[class(source)]
    Clone(Box<CloneError>),
    /// It is there and cannot be mounted.
    #[error(transparent)]
    #[class(source)]
    Mount(#[from] MountError),
    /// It is mounted, and not at its place.
    #[error(transparent)]
    #[class(source)]
    MountPoint(#[from] MountPointError),
    /// The clone cannot be destroyed.
    #[error(transparent)]
    #[class(source)]
    Destroy(#[from] DestroyError),
}

impl ViewError {
    /// Whether ZFS has not even the snapshot any more.
    pub(super) fn is_missing(&self) -> bool {
        match self {
            Self::Missing { .. } | Self::Gone { .. } => true,
            Self::Clone(error) => matches!(**error, CloneError::Missing { .. }),
            _ => false,
        }
    }
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
    /// Which view of its snapshot one is, where it is not the first.
    numbers: BTreeMap<SnapshotName, u32>,
    /// Those that another one has taken the place of.
    set_aside: BTreeSet<DatasetName>,
    /// By which the processes are found that hold one.
    devices: BTreeMap<DatasetName, DeviceNumber>,
    /// Those that were seen to be clones of their snapshots since the start.
    ensured: BTreeSet<DatasetName>,
    turn: ZfsTurn,
    /// Those of which the log says that they are in use.
    reported_in_use: BTreeSet<SnapshotName>,
    /// Those of which the log says that they are not at their place.
    reported_unmounted: BTreeSet<SnapshotName>,
}

impl Views {
    /// The views that are there, which need not be mounted.
    ///
    /// # Errors
    /// Where ZFS does not say.
    pub(super) async fn read(zfs: Arc<dyn Zfs>, layout: Layout, turn: ZfsTurn) -> Result<Self, ReadError> {
        let mut views = Self {
            zfs: Arc::clone(&zfs),
            present: BTreeSet::new(),
            numbers: BTreeMap::new(),
            set_aside: BTreeSet::new(),
            devices: BTreeMap::new(),
            ensured: BTreeSet::new(),
            turn,
            reported_in_use: BTreeSet::new(),
            reported_unmounted: BTreeSet::new(),
            layout,
        };
        for name in zfs.children(&views.layout.views).await? {
            // Somebody else's can have any name.
            if let Some((snapshot, number)) = Layout::view_of(&name)
                && zfs.dataset(&name).await?.is_some_and(|found| found.role == Some(Role::View))
            {
                views.note(name, snapshot, number);
            }
        }
        Ok(views)
    }

    /// The snapshots that have a view.
    pub(super) fn present(&self) -> &BTreeSet<SnapshotName> {
        &self.present
    }

    /// The mounted view of a snapshot, made or mounted where it is not; and whether it was made. The first of the
    /// `datasets` that have the snapshot is to make it. ZFS is not asked about one that it was asked about before, and
    /// that is at its place.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub(super) async fn ensure(
        &mut self,
        snapshot: &SnapshotName,
        datasets: &[DatasetName],
    ) -> Result<(PathBuf, Made), ViewError> {
        let mountpoint = self.layout.mountpoint(snapshot);
        if !datasets.is_empty() && self.is_ready(snapshot, &mountpoint).await {
            return Ok((mountpoint, Made::Unchanged));
        }
        let mut failed = Err(ViewError::Missing { snapshot: snapshot.clone() });
        for dataset in datasets {
            match self.make_or_mount(dataset, snapshot, &mountpoint).await {
                Ok(made) => return Ok((mountpoint, made)),
                // The view that is there can be one of a volume that was replaced.
                Err(error) => failed = Err(error),
            }
        }
        failed
    }

    async fn is_ready(&self, snapshot: &SnapshotName, at: &Path) -> bool {
        let Ok(name) = self.name(snapshot) else { return false };
        self.ensured.contains(&name) && self.zfs.check_mounted_at(&name, at).await.is_ok()
    }

    /// The first view that nobody keeps from being mounted.
    async fn make_or_mount(
        &mut self,
        of: &DatasetName,
        snapshot: &SnapshotName,
        at: &Path,
    ) -> Result<Made, ViewError> {
        let _turn = self.turn.take().await;
        loop {
            let name = self.name(snapshot)?;
            match self.zfs.clone_snapshot(of, snapshot, &name, at).await {
                Ok(made) => {
                    kill_point(KillPoint::ViewMade);
                    self.present.insert(snapshot.clone());
                    let device = self.zfs.check_mounted_at(&name, at).await?;
                    self.devices.insert(name.clone(), device);
                    self.ensured.insert(name);
                    return Ok(made);
                }
                Err(CloneError::Held { .. }) if self.may_have_another(snapshot) => {
                    self.set_aside(snapshot, name);
                }
                Err(error) => {
                    if matches!(error, CloneError::Missing { .. }) {
                        self.present.remove(snapshot);
                    }
                    return Err(error.into());
                }
            }
        }
    }

    /// Mounts the view of a snapshot that is there; nothing is made.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub(super) async fn mount(&mut self, snapshot: &SnapshotName) -> Result<Made, ViewError> {
        let name = self.name(snapshot)?;
        let _turn = self.turn.take().await;
        let made = self.zfs.mount(&name).await?;
        let device = self.zfs.check_mounted_at(&name, &self.layout.mountpoint(snapshot)).await?;
        self.devices.insert(name, device);
        Ok(made)
    }

    /// Removes the view of a snapshot, if there is one.
    ///
    /// # Errors
    /// See [`ViewError`]; the view then stays.
    pub(super) async fn destroy(&mut self, snapshot: &SnapshotName) -> Result<(), ViewError> {
        if !self.present.contains(snapshot) {
            return Ok(());
        }
        let name = self.name(snapshot)?;
        let _turn = self.turn.take().await;
        self.ensured.remove(&name);
        let destroyed = self.zfs.destroy(&name).await;
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
        self.numbers.remove(snapshot);
        self.devices.remove(&name);
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
