//! The task that owns the volume, and the handle by which others request changes.

use super::overlays::BaseWatch;
use super::storage::Storage;
use super::views::MOUNT_CHECK_INTERVAL;
use super::{
    AdoptOverlayError, ApplyError, CatalogReadError, CollectError, CreateOverlayError, Incoming, OverlaySpec,
    PinError, RemoveOverlayError, Volume, VolumeState,
};
use bootstash_base::impersonate::UnixPeer;
use bootstash_base::names::ImageName;
use bootstash_delta::DeltaRecord;
use bootstash_delta::catalog::Catalog;
use bootstash_delta::retention::Keep;
use bootstash_net::api::{AdoptReply, GcReport, OverlayReply, OverlayView, PinReply};
use bootstash_zfs::{Removed, Snapshot};
use std::path::PathBuf;
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::task::AbortOnDropHandle;

/// Requests that wait. More callers than this wait to get theirs in.
const QUEUE: usize = 32;

/// The agent stops, and takes no more orders.
#[derive(Debug, Error)]
#[error("the agent is stopping; try again when it runs")]
pub struct Stopping;

type Reply<T, E> = oneshot::Sender<Result<T, E>>;

/// A change to make.
enum Request {
    Apply { record: DeltaRecord, file: PathBuf, reply: Reply<Snapshot, ApplyError> },
    ReceiveFull { incoming: Incoming, reply: Reply<Snapshot, ApplyError> },
    KeepUnknown { why: String, reply: Reply<(), ApplyError> },
    Refresh { reply: Reply<(), ApplyError> },
    DropPartial { reply: Reply<Removed, ApplyError> },
    ReadCatalog { reply: Reply<(), CatalogReadError> },
    CreateOverlay { by: UnixPeer, spec: OverlaySpec, reply: Reply<OverlayReply, CreateOverlayError> },
    AdoptOverlay { by: UnixPeer, path: PathBuf, reply: Reply<AdoptReply, AdoptOverlayError> },
    RemoveOverlay { by: UnixPeer, path: PathBuf, reply: Reply<Removed, RemoveOverlayError> },
    Pin { by: UnixPeer, path: PathBuf, reply: Reply<PinReply, PinError> },
    Unpin { by: UnixPeer, path: PathBuf, reply: Reply<Removed, PinError> },
    Collect { keep: Keep, dry_run: bool, reply: Reply<GcReport, CollectError> },
}

/// Requests changes, and sees what is published. Cheap to clone.
#[derive(Clone, Debug)]
pub struct VolumeHandle {
    requests: mpsc::Sender<Request>,
    published: watch::Receiver<VolumeState>,
    pub(super) storage: Storage,
    pub(super) base_watch: BaseWatch,
}

/// The requests, on their way to the owner.
#[derive(Debug)]
pub struct Requests(mpsc::Receiver<Request>);

impl Volume {
    /// The handle for others, and the requests for [`Self::run`].
    pub fn handle(&self) -> (VolumeHandle, Requests) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let (published, storage) = (self.published.subscribe(), self.storage.clone());
        let base_watch = self.base_watch.clone();
        (VolumeHandle { requests: sender, published, storage, base_watch }, Requests(receiver))
    }

    /// Carries out requests until the agent stops. The request under way then ends first; a receive ends
    /// by being broken off.
    pub async fn run(mut self, mut requests: Requests) {
        let cancel = self.cancel.clone();
        let warming_up = bootstash_zfs::warm_up(Arc::clone(&self.zfs), self.layout.volume.clone());
        // Dropped, it ends: nobody waits for it.
        let _warming_up = AbortOnDropHandle::new(tokio::spawn(warming_up));
        let mut mount_checks = interval_at(Instant::now() + MOUNT_CHECK_INTERVAL, MOUNT_CHECK_INTERVAL);
        mount_checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // The check of mounts comes first when it is due: requests can follow on each other without a pause.
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                _ = mount_checks.tick() => self.check().await,
                request = requests.0.recv() => match request {
                    Some(request) => self.serve(request).await,
                    None => break,
                },
            }
        }
    }

    /// What may have changed behind the agent's back.
    async fn check(&mut self) {
        let mut changed = self.check_views().await;
        if self.generations.are_stale() {
            changed |= self.look_at_generations().await;
        }
        if changed {
            self.publish();
        }
    }

    /// Publishes before it answers, so that whoever is answered sees the change. One who went away
    /// without waiting for the answer is no concern here.
    async fn serve(&mut self, request: Request) {
        match request {
            Request::Apply { record, file, reply } => {
                let done = self.apply(&record, &file).await;
                self.restore_awaited_views().await;
                self.answer(reply, done);
            }
            Request::ReceiveFull { incoming, reply } => {
                let done = self.receive_full(incoming).await;
                self.restore_awaited_views().await;
                self.answer(reply, done);
            }
            Request::KeepUnknown { why, reply } => {
                let path = self.layout.unknown_dir.clone();
                let kept = self.generations.keep_unknown(&why).await;
                let done = kept.map_err(|source| ApplyError::Note { path, source });
                self.answer(reply, done);
            }
            Request::Refresh { reply } => {
                let done = self.generations.refresh().await.map_err(ApplyError::from);
                self.answer(reply, done);
            }
            Request::DropPartial { reply } => {
                let done = self.generations.drop_partial().await;
                self.answer(reply, done);
            }
            Request::ReadCatalog { reply } => {
                let done = self.read_catalog().await;
                self.answer(reply, done);
            }
            Request::CreateOverlay { by, spec, reply } => {
                let done = self.create_overlay(by, &spec).await;
                self.answer(reply, done);
            }
            Request::AdoptOverlay { by, path, reply } => {
                let done = self.adopt_overlay(by, &path).await;
                self.answer(reply, done);
            }
            Request::RemoveOverlay { by, path, reply } => {
                let done = self.remove_overlay(by, &path).await;
                self.answer(reply, done);
            }
            Request::Pin { by, path, reply } => {
                let done = self.pin(by, &path).await;
                self.answer(reply, done);
            }
            Request::Unpin { by, path, reply } => {
                let done = self.unpin(by, &path).await;
                self.answer(reply, done);
            }
            Request::Collect { keep, dry_run, reply } => {
                let done = self.collect(keep, dry_run).await;
                self.answer(reply, done);
            }
        }
    }

    fn answer<T, E>(&self, reply: Reply<T, E>, done: Result<T, E>) {
        self.publish();
        drop(reply.send(done));
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
        self.request(|reply| Request::CreateOverlay { by, spec, reply }).await
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
        self.request(|reply| Request::AdoptOverlay { by, path, reply }).await
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
        self.request(|reply| Request::RemoveOverlay { by, path, reply }).await
    }

    /// Holds the boot cache of the image that the disk at `path` ends in, as far as whoever asks may read it.
    ///
    /// # Errors
    /// See [`PinError`].
    pub async fn pin(&self, by: UnixPeer, path: PathBuf) -> Result<PinReply, PinError> {
        if self.published.borrow().snapshots.is_empty() {
            return Err(PinError::Empty);
        }
        self.request(|reply| Request::Pin { by, path, reply }).await
    }

    /// Lets go of it.
    ///
    /// # Errors
    /// See [`PinError`].
    pub async fn unpin(&self, by: UnixPeer, path: PathBuf) -> Result<Removed, PinError> {
        self.request(|reply| Request::Unpin { by, path, reply }).await
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
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).await.map_err(|_| Stopping)?;
        answer.await.map_err(|_| Stopping)?
    }
}
