//! Taking the volume over at start.

use super::generation::Generations;
use super::lease::Leases;
use super::storage::Storage;
use super::view::Views;
use super::{OpenError, OverlayMaker, Volume, VolumeState};
use crate::layout::Layout;
use bootstash_base::error::Chain;
use bootstash_base::kill_point::{KillPoint, kill_point};
use bootstash_zfs::{Role, Zfs};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

impl Volume {
    /// Makes what is missing of the layout, reads the records and brings them into line with the
    /// overlays on disk, mounts the views that overlays chain onto and drops the others.
    ///
    /// # Errors
    /// Where going on could harm: a view that does not mount is logged instead.
    pub async fn open(
        zfs: Arc<dyn Zfs>,
        overlays: Arc<dyn OverlayMaker>,
        layout: Layout,
        cancel: CancellationToken,
    ) -> Result<Self, OpenError> {
        for directory in layout.directories() {
            make_directory(directory)?;
        }
        for (name, new) in layout.datasets() {
            zfs.create(name, &new).await?;
        }
        kill_point(KillPoint::OpenMade);
        let (leases, damaged) = Leases::load(&layout.leases_dir)?;
        let views = existing_views(zfs.as_ref(), &layout).await?;
        let published = watch::Sender::new(VolumeState::default());
        let (images, generations) = (Arc::default(), Generations::default());
        let mut volume = Self {
            zfs,
            overlays,
            layout,
            leases,
            storage: Storage::new(),
            views,
            generations,
            partial: None,
            images,
            reported_unmounted: BTreeSet::new(),
            published,
            cancel,
        };
        volume.read_volumes().await?;
        volume.forget_notes();
        volume.reconcile(damaged).await?;
        volume.restore_views().await;
        volume.sweep_mountpoints();
        kill_point(KillPoint::OpenRestored);
        volume.drop_replaced().await;
        if let Err(error) = volume.read_catalog().await {
            tracing::warn!("cannot list this node's images: {}", Chain(&error));
        }
        volume.report_lost_caches(volume.leases.overlays());
        volume.publish();
        Ok(volume)
    }
}

impl Volume {
    /// Drops the notes on volumes that are gone, whose numbers may come again.
    fn forget_notes(&self) {
        let there: Vec<_> =
            self.generations.numbers().map(|number| self.layout.unknown_note(number)).collect();
        let notes = std::fs::read_dir(&self.layout.unknown_dir).into_iter().flatten().flatten();
        for note in notes.map(|note| note.path()).filter(|note| !there.contains(note)) {
            if let Err(error) = std::fs::remove_file(&note) {
                tracing::debug!("cannot remove {}: {error}", note.display());
            }
        }
    }
}

fn make_directory(path: &Path) -> Result<(), OpenError> {
    std::fs::create_dir_all(path).map_err(|source| OpenError::Directory { path: path.to_owned(), source })
}

async fn existing_views(zfs: &dyn Zfs, layout: &Layout) -> Result<Views, OpenError> {
    let mut views = Views::default();
    for name in zfs.children(&layout.views).await? {
        // Somebody else's can have any name.
        if let Ok(snapshot) = name.leaf().parse()
            && zfs.dataset(&name).await?.is_some_and(|found| found.role == Some(Role::View))
        {
            views.present.insert(snapshot);
        }
    }
    Ok(views)
}
