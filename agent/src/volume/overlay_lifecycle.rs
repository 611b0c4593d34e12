//! Making an overlay: image → view of the newest snapshot → base as registered → record → file; adopting one that
//! is there: view → record; and removing one, with its view if it is the last.

use super::ViewError;
use super::Volume;
use super::overlays::{AdoptOverlayError, CreateOverlayError, Place, RemoveOverlayError};
use bootstash_base::clock;
use bootstash_base::impersonate::UnixPeer;
use bootstash_base::names::{ImageName, SnapshotName};
use bootstash_delta::catalog;
use bootstash_net::api::{AdoptReply, OverlayView};
use bootstash_zfs::Removed;
use std::path::Path;

impl Volume {
    /// Makes an overlay of `image` at `given`, as far as the caller may.
    pub(super) async fn create_overlay(
        &mut self,
        by: UnixPeer,
        image: &ImageName,
        given: &Path,
    ) -> Result<OverlayView, CreateOverlayError> {
        let place = self.overlays.free_place(by, given).await?;
        let snapshot = self.generations.head().ok_or(CreateOverlayError::Empty)?.name.clone();
        let made = self.chain_onto(&snapshot, image, place).await;
        if made.is_err() {
            self.try_drop_view(&snapshot).await;
        }
        made
    }

    async fn chain_onto(
        &mut self,
        snapshot: &SnapshotName,
        image: &ImageName,
        place: Place,
    ) -> Result<OverlayView, CreateOverlayError> {
        let root = self.ensure_view(snapshot).await?;
        let wanted = image.clone();
        let manifest =
            self.read_view(root.clone(), move |root| catalog::read_manifest(root, &wanted)).await?;
        let manifest = self.overlays.check_base(manifest).await?;
        let overlay = OverlayView {
            path: place.path.clone(),
            image: image.clone(),
            snapshot: snapshot.clone(),
            cache: catalog::cache_path(&root, image),
            virtual_size_bytes: manifest.source.virtual_size_bytes,
            created: clock::now(),
            firmware: Some(manifest.source.firmware),
        };
        self.overlays.make(place, overlay).await
    }

    /// Takes on the overlay at `given`, which another node made, or a copy. Where its snapshot is still on its way,
    /// its view is made when that is here.
    pub(super) async fn adopt_overlay(
        &mut self,
        by: UnixPeer,
        given: &Path,
    ) -> Result<AdoptReply, AdoptOverlayError> {
        let lease = self.overlays.read(by, given).await?;
        let overlay = lease.overlay.clone();
        let awaits_snapshot = self.is_to_come(&overlay.snapshot);
        if !awaits_snapshot {
            self.ensure_view(&overlay.snapshot).await.map_err(|error| match error {
                ViewError::Missing { snapshot } => {
                    let (path, remedy) = (overlay.path.clone(), self.remedy(&overlay));
                    AdoptOverlayError::Gone { path, snapshot, remedy }
                }
                other => other.into(),
            })?;
        }
        let recorded = self.overlays.record(lease).await;
        if recorded.is_err() {
            self.try_drop_view(&overlay.snapshot).await;
        }
        Ok(AdoptReply { adopted: recorded?, overlay, awaits_snapshot })
    }

    /// Removes the overlay at `given`, as far as the caller may, then the view nobody needs any more.
    pub(super) async fn remove_overlay(
        &mut self,
        by: UnixPeer,
        given: &Path,
    ) -> Result<Removed, RemoveOverlayError> {
        let Some(snapshot) = self.overlays.remove(by, given).await? else {
            return Ok(Removed::Unchanged);
        };
        self.try_drop_view(&snapshot).await;
        self.generations.drop_replaced().await;
        Ok(Removed::Removed)
    }
}
