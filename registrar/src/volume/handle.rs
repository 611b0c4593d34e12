//! Asking the volume's task for a change. Cheap to clone.

use super::{HeadImages, ImportRequest, Restore, Restored, VolumeError};
use crate::register::waiting::wait_for;
use bootstash_base::names::{Guid, ImageName, SnapshotName};
use bootstash_delta::DeltaRecord;
use bootstash_delta::retention::Keep;
use bootstash_net::api::{DeregisterReply, GcReport, Progress};
use tokio::sync::{mpsc, oneshot, watch};

/// What a request waits for that is not the first.
const OTHERS_FIRST: &str = "for the volume, which others are changing";

/// Answers a request.
pub(super) type Reply<T> = oneshot::Sender<Result<T, VolumeError>>;

/// What the task can be asked.
#[derive(Debug)]
pub(super) enum Request {
    Import(Box<ImportRequest>, Reply<()>),
    Discard(ImageName, Reply<()>),
    Snapshot(Reply<SnapshotName>),
    Publish(SnapshotName, Reply<DeltaRecord>),
    Deregister { name: ImageName, publish: bool, reply: Reply<DeregisterReply> },
    Full(Reply<DeltaRecord>),
    Remake(String, Reply<()>),
    Restore(Restore, Reply<Restored>),
    Combine(Guid, Reply<()>),
    Collect { keep: Keep, dry_run: bool, reply: Reply<GcReport> },
}

/// A request that waits for its turn.
#[derive(Debug)]
pub(super) struct QueuedRequest {
    request: Request,
    turn: oneshot::Sender<()>,
}

impl QueuedRequest {
    /// Its turn has come.
    pub(super) fn begin(self) -> Request {
        // Who asked may have gone; what was asked is done all the same.
        self.turn.send(()).ok();
        self.request
    }

    /// Whether it can go into the next snapshot.
    pub(super) fn is_for_a_snapshot(&self) -> bool {
        matches!(self.request, Request::Import(..) | Request::Snapshot(_))
    }
}

/// The way to the volume's task.
#[derive(Clone, Debug)]
pub struct VolumeHandle {
    requests: mpsc::Sender<QueuedRequest>,
    images: HeadImages,
}

impl VolumeHandle {
    pub(super) fn new(requests: mpsc::Sender<QueuedRequest>, images: HeadImages) -> Self {
        Self { requests, images }
    }

    /// The images in the volume's head.
    pub fn images(&self) -> &HeadImages {
        &self.images
    }

    /// Puts a cache and its manifest into the volume's head.
    ///
    /// # Errors
    /// See [`VolumeError`]; the head is then as it was.
    pub async fn import(&self, request: ImportRequest) -> Result<(), VolumeError> {
        let progress = request.progress.clone();
        self.ask_in_turn(&progress, |reply| Request::Import(Box::new(request), reply)).await
    }

    /// Takes an image that was imported and not published out of the head again.
    ///
    /// # Errors
    /// See [`VolumeError`].
    pub async fn discard(&self, name: ImageName) -> Result<(), VolumeError> {
        self.ask(|reply| Request::Discard(name, reply)).await
    }

    /// A snapshot that holds all that was imported so far; `progress` says if others come first.
    ///
    /// # Errors
    /// See [`VolumeError`].
    pub async fn snapshot(&self, progress: &watch::Sender<Progress>) -> Result<SnapshotName, VolumeError> {
        self.ask_in_turn(progress, Request::Snapshot).await
    }

    /// The delta that leads to a snapshot from the one before, announced; `progress` says if others come first.
    ///
    /// # Errors
    /// See [`VolumeError`].
    pub async fn publish(
        &self,
        snapshot: SnapshotName,
        progress: &watch::Sender<Progress>,
    ) -> Result<DeltaRecord, VolumeError> {
        self.ask_in_turn(progress, |reply| Request::Publish(snapshot, reply)).await
    }

    /// Removes an image from the head, and with `publish` tells the nodes at once.
    ///
    /// # Errors
    /// See [`VolumeError`].
    pub async fn deregister(&self, name: ImageName, publish: bool) -> Result<DeregisterReply, VolumeError> {
        self.ask(|reply| Request::Deregister { name, publish, reply }).await
    }

    /// A full stream of the newest snapshot.
    ///
    /// # Errors
    /// See [`VolumeError`].
    pub async fn full(&self) -> Result<DeltaRecord, VolumeError> {
        self.ask(Request::Full).await
    }

    /// Makes a delta anew whose file is gone or damaged.
    ///
    /// # Errors
    /// See [`VolumeError`].
    pub async fn remake(&self, file: String) -> Result<(), VolumeError> {
        self.ask(|reply| Request::Remake(file, reply)).await
    }

    /// Puts a node's volume in the place of ours, which must be empty.
    ///
    /// # Errors
    /// See [`VolumeError`]; the volume is then as it was.
    pub async fn restore(&self, restore: Restore) -> Result<Restored, VolumeError> {
        self.ask(|reply| Request::Restore(restore, reply)).await
    }

    /// Makes one increment from a snapshot to the newest, where that is worth it.
    ///
    /// # Errors
    /// See [`VolumeError`].
    pub async fn combine(&self, from: Guid) -> Result<(), VolumeError> {
        self.ask(|reply| Request::Combine(from, reply)).await
    }

    /// Destroys snapshots beyond what is to be kept that nobody needs, and their deltas.
    ///
    /// # Errors
    /// See [`VolumeError`].
    pub async fn collect(&self, keep: impl Into<Keep>, dry_run: bool) -> Result<GcReport, VolumeError> {
        let keep = keep.into();
        self.ask(|reply| Request::Collect { keep, dry_run, reply }).await
    }

    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, VolumeError> {
        self.ask_in_turn(&watch::Sender::default(), request).await
    }

    async fn ask_in_turn<T>(
        &self,
        progress: &watch::Sender<Progress>,
        request: impl FnOnce(Reply<T>) -> Request,
    ) -> Result<T, VolumeError> {
        let (reply, answer) = oneshot::channel();
        let (turn, came) = oneshot::channel();
        let request = QueuedRequest { request: request(reply), turn };
        let queue = async {
            self.requests.send(request).await.map_err(|_| VolumeError::Stopping)?;
            came.await.map_err(|_| VolumeError::Stopping)
        };
        wait_for(progress, OTHERS_FIRST, queue).await?;
        answer.await.map_err(|_| VolumeError::Stopping)?
    }
}
