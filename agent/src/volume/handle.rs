//! The handle by which others request changes of the volume, and see what is published of it.

use super::overlays::BaseWatch;
use super::requests::{Create, DiskRequest, OverlayRequest, Remove, Reply, Request, Requests};
use super::storage::Storage;
use super::{
    AdoptOverlayError, ApplyError, CatalogReadError, CollectError, CreateOverlayError, Incoming, OverlaySpec,
    PinError, RemoveOverlayError, Stopping, Volume, VolumeState,
};
use bootstash_base::impersonate::UnixPeer;
use bootstash_base::names::ImageName;
use bootstash_delta::DeltaRecord;
use bootstash_delta::catalog::Catalog;
use bootstash_delta::retention::Keep;
use bootstash_net::api::{AdoptReply, GcReport, OverlayReply, OverlayView, PinReply};
use bootstash_zfs::{Removed, Snapshot};
use std::path::PathBuf;
use tokio::sync::{mpsc, oneshot, watch};

/// Requests changes, and sees what is published. Cheap to clone.
#[derive(Clone, Debug)]
pub struct VolumeHandle {
    requests: mpsc::Sender<Request>,
    overlay_requests: mpsc::Sender<OverlayRequest>,
    published: watch::Receiver<VolumeState>,
    pub(super) storage: Storage,
    pub(super) base_watch: BaseWatch,
}

impl Volume {
    /// The handle for others, and the requests for [`Self::run`].
    pub fn handle(&self) -> (VolumeHandle, Requests) {
        let (requests, overlay_requests, received) = Requests::new();
        let (published, storage) = (self.published.subscribe(), self.storage.clone());
        let base_watch = self.base_watch.clone();
        (VolumeHandle { requests, overlay_requests, published, storage, base_watch }, received)
    }
}

impl VolumeHandle {
    /// The volume as it was after the last change.
    pub fn state(&self) -> VolumeState {
        self.published.borrow().clone()
    }

    /// The same, as it changes.
    pub fn published(&self) -> watch::Receiver<VolumeState> {
        self.published.clone()
    }

    /// Applies the verified file of a delta.
    ///
    /// # Errors
    /// See [`ApplyError`].
    pub async fn apply(&self, record: DeltaRecord, file: PathBuf) -> Result<Snapshot, ApplyError> {
        self.request(|reply| Request::Apply { record, file, reply }).await
    }

    /// Receives a full stream into a volume that is not there yet.
    ///
    /// # Errors
    /// See [`ApplyError`].
    pub async fn receive_full(&self, incoming: Incoming) -> Result<Snapshot, ApplyError> {
        self.request(|reply| Request::ReceiveFull { incoming, reply }).await
    }

    /// Notes that the registrar knows nothing of the volume that is there: once replaced, it stays until
    /// a person drops it.
    ///
    /// # Errors
    /// See [`ApplyError`].
    pub async fn keep_unknown(&self, why: String) -> Result<(), ApplyError> {
        self.request(|reply| Request::KeepUnknown { why, reply }).await
    }

    /// Publishes what is there, should that not be known: looking can have failed after the last change.
    ///
    /// # Errors
    /// See [`ApplyError`].
    pub async fn refresh(&self) -> Result<(), ApplyError> {
        self.request(|reply| Request::Refresh { reply }).await
    }

    /// Gives up what a cut receive left.
    ///
    /// # Errors
    /// See [`ApplyError`].
    pub async fn drop_partial(&self) -> Result<Removed, ApplyError> {
        self.request(|reply| Request::DropPartial { reply }).await
    }

    /// The images in the newest snapshot; where a delta is being applied, in the one after that.
    ///
    /// # Errors
    /// See [`CatalogReadError`].
    pub async fn images(&self) -> Result<Catalog, CatalogReadError> {
        let state = self.state();
        if state.catalog_is_current() {
            return Ok(state.images);
        }
        self.read_catalog().await?;
        Ok(self.state().images)
    }

    /// Reads which images the newest snapshot holds, unless they are known.
    ///
    /// # Errors
    /// See [`CatalogReadError`].
    pub async fn read_catalog(&self) -> Result<(), CatalogReadError> {
        self.request(|reply| Request::ReadCatalog { reply }).await
    }

    /// Makes an overlay of `image` at `path`.
    ///
    /// # Errors
    /// See [`CreateOverlayError`].
    pub async fn create_overlay(
        &self,
        image: ImageName,
        path: PathBuf,
    ) -> Result<OverlayView, CreateOverlayError> {
        let spec = OverlaySpec { image, path, size_bytes: None, owner: None };
        Ok(self.create_overlay_for(UnixPeer::ourselves(), spec).await?.overlay)
    }

    /// The same as it is asked for, with the rights of whoever asked: the file is theirs, and is made only where they
    /// may.
    ///
    /// # Errors
    /// See [`CreateOverlayError`].
    pub async fn create_overlay_for(
        &self,
        by: UnixPeer,
        spec: OverlaySpec,
    ) -> Result<OverlayReply, CreateOverlayError> {
        if self.published.borrow().snapshots.is_empty() {
            // Not to wait behind the first receive, which can take long.
            return Err(CreateOverlayError::Empty);
        }
        self.overlay_request(|reply| OverlayRequest::Create(Create { by, spec, reply })).await
    }

    /// Takes on the overlay at `path`, which another node made.
    ///
    /// # Errors
    /// See [`AdoptOverlayError`].
    pub async fn adopt_overlay(&self, path: PathBuf) -> Result<AdoptReply, AdoptOverlayError> {
        self.adopt_overlay_for(UnixPeer::ourselves(), path).await
    }

    /// The same with the rights of whoever asked: only if they may read the file.
    ///
    /// # Errors
    /// See [`AdoptOverlayError`].
    pub async fn adopt_overlay_for(
        &self,
        by: UnixPeer,
        path: PathBuf,
    ) -> Result<AdoptReply, AdoptOverlayError> {
        self.overlay_request(|reply| OverlayRequest::Disk(DiskRequest::Adopt { by, path, reply })).await
    }

    /// Removes the overlay at `path`.
    ///
    /// # Errors
    /// See [`RemoveOverlayError`].
    pub async fn remove_overlay(&self, path: PathBuf) -> Result<Removed, RemoveOverlayError> {
        self.remove_overlay_for(UnixPeer::ourselves(), path).await
    }

    /// The same with the rights of whoever asked: only if they may remove the file.
    ///
    /// # Errors
    /// See [`RemoveOverlayError`].
    pub async fn remove_overlay_for(
        &self,
        by: UnixPeer,
        path: PathBuf,
    ) -> Result<Removed, RemoveOverlayError> {
        self.overlay_request(|reply| OverlayRequest::Remove(Remove { by, path, reply })).await
    }

    /// Holds the boot cache of the image that the disk at `path` ends in, as far as whoever asks may read it.
    ///
    /// # Errors
    /// See [`PinError`].
    pub async fn pin(&self, by: UnixPeer, path: PathBuf) -> Result<PinReply, PinError> {
        if self.published.borrow().snapshots.is_empty() {
            return Err(PinError::Empty);
        }
        self.overlay_request(|reply| OverlayRequest::Disk(DiskRequest::Pin { by, path, reply })).await
    }

    /// Lets go of it.
    ///
    /// # Errors
    /// See [`PinError`].
    pub async fn unpin(&self, by: UnixPeer, path: PathBuf) -> Result<Removed, PinError> {
        self.overlay_request(|reply| OverlayRequest::Disk(DiskRequest::Unpin { by, path, reply })).await
    }

    /// Removes what may go, or says what would.
    ///
    /// # Errors
    /// See [`CollectError`].
    pub async fn collect(&self, keep: impl Into<Keep>, dry_run: bool) -> Result<GcReport, CollectError> {
        let keep = keep.into();
        self.request(|reply| Request::Collect { keep, dry_run, reply }).await
    }

    async fn request<T, E: From<Stopping>>(
        &self,
        request: impl FnOnce(Reply<T, E>) -> Request,
    ) -> Result<T, E> {
        ask(&self.requests, request).await
    }

    async fn overlay_request<T, E: From<Stopping>>(
        &self,
        request: impl FnOnce(Reply<T, E>) -> OverlayRequest,
    ) -> Result<T, E> {
        ask(&self.overlay_requests, request).await
    }
}

async fn ask<R, T, E: From<Stopping>>(
    requests: &mpsc::Sender<R>,
    request: impl FnOnce(Reply<T, E>) -> R,
) -> Result<T, E> {
    let (reply, answer) = oneshot::channel();
    requests.send(request(reply)).await.map_err(|_| Stopping)?;
    answer.await.map_err(|_| Stopping)?
}
