//! Taking the volume over at start.

use super::catalog::Manifests;
use super::generations::Generations;
use super::overlays::{BaseWatch, Bases, LeaseError, Overlays};
use super::storage::Storage;
use super::views::Views;
use super::zfs_turn::ZfsTurn;
use super::{OverlayMaker, Volume, VolumeState};
use crate::layout::Layout;
use bootstash_base::error::Chain;
use bootstash_base::kill_point::{KillPoint, kill_point};
use bootstash_delta::catalog::Catalog;
use bootstash_zfs::{CreateError, ReadError, Zfs, make_root};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The volume could not be taken over at start.
#[derive(Debug, Error)]
pub enum OpenError {
    /// A directory of ours.
    #[error("cannot create the directory {}", .path.display())]
    Directory {
        /// The directory, by its absolute path.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file system of ours.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// The records of overlays.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// The state of ZFS.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Volume {
    /// Makes what is missing of the layout, reads the records and brings them into line with the
    /// overlays on disk, mounts the views that overlays chain onto and drops the others.
    ///
    /// # Errors
    /// Where going on could harm: a view that does not mount is logged instead.
    pub async fn open(
        zfs: Arc<dyn Zfs>,
        maker: Arc<dyn OverlayMaker>,
        layout: Layout,
        cancel: CancellationToken,
    ) -> Result<Self, OpenError> {
        for directory in layout.directories() {
            make_directory(directory)?;
        }
        make_root(zfs.as_ref(), &layout.root, &Layout::new_root(), &layout.owner).await?;
        zfs.create(&layout.views, &Layout::new_views()).await?;
        kill_point(KillPoint::OpenMade);
        let storage = Storage::new();
        let bases = Bases::new(storage.clone()).touched_in(layout.touched_dirs.clone());
        let base_watch = BaseWatch::new(storage.clone(), bases.clone());
        let (overlays, damaged) = Overlays::load(maker, layout.clone(), storage.clone(), bases)?;
        let turn = ZfsTurn::of(zfs.as_ref());
        let views = Views::read(Arc::clone(&zfs), layout.clone(), turn.clone()).await?;
        let generations = Generations::read(Arc::clone(&zfs), layout.clone(), cancel.clone(), turn).await?;
        let (images, published) = (Catalog::default(), watch::Sender::new(VolumeState::default()));
        let mut volume = Self {
            zfs,
            layout,
            storage,
            base_watch,
            overlays,
            views,
            generations,
            images,
            images_of: None,
            manifests: Manifests::default(),
            published,
            cancel,
        };
        volume.generations.forget_notes().await;
        volume.overlays.reconcile(damaged, volume.views.present()).await?;
        volume.restore_views().await;
        volume.views.sweep_mountpoints(&volume.storage).await;
        kill_point(KillPoint::OpenRestored);
        volume.generations.drop_replaced().await;
        if let Err(error) = volume.read_catalog().await {
            tracing::warn!("cannot list this node's images: {}", Chain(&error));
        }
        volume.report_lost_caches(volume.overlays.recorded().filter(|it| !volume.is_awaited(&it.snapshot)));
        volume.publish();
        Ok(volume)
    }
}

fn make_directory(path: &Path) -> Result<(), OpenError> {
    std::fs::create_dir_all(path).map_err(|source| OpenError::Directory { path: path.to_owned(), source })
}
