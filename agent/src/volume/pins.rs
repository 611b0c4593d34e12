//! Pinning a disk that somebody else made: chain → image → view → base unchanged? → record; and letting go of it.

use super::Volume;
use super::overlays::{Backing, Bottom, Held, PinError, held};
use bootstash_base::clock;
use bootstash_base::impersonate::UnixPeer;
use bootstash_base::names::{ImageName, SnapshotName};
use bootstash_delta::catalog;
use bootstash_net::api::{OverlayView, PinReply};
use bootstash_zfs::Removed;
use std::path::Path;

impl Volume {
    /// Holds the boot cache of the disk at `given`, as far as the caller may read that.
    pub(super) async fn pin(&mut self, by: UnixPeer, given: &Path) -> Result<PinReply, PinError> {
        let bottom = self.overlays.bottom_of(by, given).await?;
        self.read_catalog().await?;
        let head = self.generations.head().ok_or(PinError::Empty)?.name.clone();
        let (snapshot, image, is_newest) =
            match held(&bottom, |snapshot| self.generations.have(snapshot), &self.images)? {
                Held::AsChained(snapshot, image) => (snapshot, image, false),
                Held::Newest(image) => (head, image, true),
            };
        let pinned = self.hold(bottom, &snapshot, image, is_newest).await;
        if pinned.is_err() {
            self.try_drop_view(&snapshot).await;
        }
        pinned
    }

    async fn hold(
        &mut self,
        bottom: Bottom,
        snapshot: &SnapshotName,
        image: ImageName,
        is_newest: bool,
    ) -> Result<PinReply, PinError> {
        let root = self.ensure_view(snapshot).await?;
        let wanted = image.clone();
        let manifest =
            self.read_view(root.clone(), move |root| catalog::read_manifest(root, &wanted)).await?;
        let firmware = Some(manifest.source.firmware);
        // Onto what it is chained already it goes on being chained: the watch tells of bases that changed.
        if is_newest {
            let checked = self.overlays.check_base(&manifest).await;
            checked.map_err(|error| PinError::Base(Box::new(error)))?;
        }
        let cache = catalog::cache_path(&root, &image);
        let chained = matches!(&bottom.backing, Backing::Cache { path, .. } if *path == cache);
        let Bottom { path, virtual_size_bytes, mount_point, .. } = bottom;
        let (snapshot, created) = (snapshot.clone(), clock::now());
        let overlay = OverlayView { path, image, snapshot, cache, virtual_size_bytes, created, firmware };
        let before = self.overlays.leases().get(&overlay.path).map(|lease| lease.overlay.snapshot.clone());
        let (overlay, outcome) = self.overlays.pin(overlay, mount_point, chained).await?;
        if let Some(before) = before.filter(|before| *before != overlay.snapshot) {
            self.try_drop_view(&before).await;
        }
        Ok(PinReply { overlay, outcome, chained })
    }

    /// Lets go of the boot cache of the disk at `given`, then of the view nobody needs any more.
    pub(super) async fn unpin(&mut self, by: UnixPeer, given: &Path) -> Result<Removed, PinError> {
        let images = self.images.clone();
        let remedy = |overlay: &OverlayView| super::keep_views::remedy(&images, overlay);
        let Some(snapshot) = self.overlays.unpin(by, given, remedy).await? else {
            return Ok(Removed::Unchanged);
        };
        self.try_drop_view(&snapshot).await;
        self.generations.drop_replaced().await;
        Ok(Removed::Removed)
    }
}
