//! Making an overlay: image → view of the newest snapshot → base as registered → record → file; adopting one that
//! is there: view → record; and removing one, with its view if it is the last.

use super::ViewError;
use super::Volume;
use super::overlays::{AdoptOverlayError, CreateOverlayError, Found, OverlaySpec, Place, RemoveOverlayError};
use bootstash_base::clock;
use bootstash_base::impersonate::UnixPeer;
use bootstash_base::names::SnapshotName;
use bootstash_delta::catalog;
use bootstash_net::api::{AdoptReply, OverlayOutcome, OverlayReply, OverlayView};
use bootstash_zfs::Removed;
use std::path::Path;

impl Volume {
    /// Makes the overlay, as far as the caller may, unless it is there. One on record whose file is gone is made
    /// anew; its view stays until a collection, as the file may have been moved.
    pub(super) async fn create_overlay(
        &mut self,
        by: UnixPeer,
        spec: &OverlaySpec,
    ) -> Result<OverlayReply, CreateOverlayError> {
        let place = match self.overlays.look_for(by, spec).await? {
            Found::Free(place) => place,
            Found::Made(lease) => {
                self.ensure_view(&lease.overlay.snapshot).await?;
                return self.overlays.keep(*lease).await;
            }
        };
        let snapshot = self.generations.head().ok_or(CreateOverlayError::Empty)?.name.clone();
        let made = self.chain_onto(&snapshot, spec, place).await;
        if made.is_err() {
            self.try_drop_view(&snapshot).await;
        }
        Ok(OverlayReply { overlay: made?, outcome: OverlayOutcome::Created })
    }

    async fn chain_onto(
        &mut self,
        snapshot: &SnapshotName,
        spec: &OverlaySpec,
        place: Place,
    ) -> Result<OverlayView, CreateOverlayError> {
        let root = self.ensure_view(snapshot).await?;
        let wanted = spec.image.clone();
        let manifest =
            self.read_view(root.clone(), move |root| catalog::read_manifest(root, &wanted)).await?;
        let manifest = self.overlays.check_base(manifest).await?;
        let overlay = OverlayView {
            path: place.path.clone(),
            image: spec.image.clone(),
            snapshot: snapshot.clone(),
            cache: catalog::cache_path(&root, &spec.image),
            virtual_size_bytes: spec.virtual_size_bytes(manifest.source.virtual_size_bytes)?,
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
