//! The task that owns the volume.

use super::handle::{QueuedRequest, Request};
use super::mounted::LOOK_EVERY;
use super::publish::{Publisher, log_failure};
use super::{HeadImages, PublicationLog, VolumeError, VolumeHandle, collect, import};
use crate::layout::Layout;
use crate::nodes::Nodes;
use bootstash_base::clock;
use bootstash_base::kill_point::{KillPoint, kill_point};
use bootstash_base::names::{ImageName, SnapshotName};
use bootstash_net::api::{DeregisterReply, GcReport};
use bootstash_zfs::{Made, NewDataset, Owner, Property, Removed, Role, Zfs, make_root};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// Requests that may wait; more make their askers wait.
const QUEUE: usize = 64;

/// Everything the task needs. [`VolumeTask::open`] makes it, [`VolumeTask::run`] runs it.
#[derive(Debug)]
pub struct VolumeTask {
    pub(super) zfs: Arc<dyn Zfs>,
    pub(super) layout: Layout,
    pub(super) log: PublicationLog,
    pub(super) publisher: Publisher,
    pub(super) images: HeadImages,
    nodes: Arc<Nodes>,
    window: Duration,
    requests: mpsc::Receiver<QueuedRequest>,
    /// The head differs from the newest snapshot, or may.
    pub(super) dirty: bool,
    /// The log says that the head is not mounted.
    pub(super) said_unmounted: bool,
}

impl VolumeTask {
    /// Makes and mounts what is missing, cleans up after a crash, and publishes what is there.
    ///
    /// # Errors
    /// See [`VolumeError`]. `window`: how long a node counts after it was last heard of.
    pub async fn open(
        zfs: Arc<dyn Zfs>,
        layout: Layout,
        log: PublicationLog,
        nodes: Arc<Nodes>,
        window: Duration,
    ) -> Result<(Self, VolumeHandle), VolumeError> {
        make_datasets(zfs.as_ref(), &layout).await?;
        kill_point(KillPoint::StartMounted);
        let (sender, requests) = mpsc::channel(QUEUE);
        let (dirty, said_unmounted) = (true, false);
        let publisher = Publisher::new(Arc::clone(&zfs), layout.volume.clone(), log.clone());
        let images = HeadImages::new(&layout.mountpoint);
        let handle = VolumeHandle::new(sender, images.clone());
        let mut task =
            Self { zfs, layout, log, publisher, images, nodes, window, requests, dirty, said_unmounted };
        let dir = task.log.dir().to_owned();
        task.log.read_collected().map_err(|source| VolumeError::Io { path: dir, source })?;
        task.blocking(|mountpoint| import::sweep(&mountpoint)).await?;
        task.publisher.sweep().await?;
        kill_point(KillPoint::StartSwept);
        // A full disk must not keep the registrar from starting: it is who can free some.
        task.publisher.publish_all().await.unwrap_or_else(|error| log_failure(&error));
        kill_point(KillPoint::StartPublished);
        task.publisher.drop_unlisted().await?;
        Ok((task, handle))
    }

    /// Serves requests until `stop` is cancelled; the request under way is finished.
    pub async fn run(mut self, stop: CancellationToken) {
        let warming_up = bootstash_zfs::warm_up(Arc::clone(&self.zfs), self.layout.volume.clone());
        // Dropped, it ends: nobody waits for it.
        let _warming_up = AbortOnDropHandle::new(tokio::spawn(warming_up));
        let mut looks = interval_at(Instant::now() + LOOK_EVERY, LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // A look comes first when it is due: requests can follow on each other without a pause.
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = looks.tick() => {
                    self.keep_mounted().await;
                    self.images.look().await;
                }
                request = self.requests.recv() => match request {
                    Some(queued) => self.serve(queued.begin()).await,
                    None => break,
                },
            }
        }
    }

    // A reply that nobody waits for any more is no error: `send` then gives it back, and it is dropped.
    async fn serve(&mut self, request: Request) {
        match request {
            Request::Import(request, reply) => drop(reply.send(self.import(*request).await)),
            Request::Discard(name, reply) => drop(reply.send(self.discard(name).await.map(drop))),
            Request::Snapshot(reply) => self.serve_snapshot(vec![reply]).await,
            Request::Publish(name, reply) => drop(reply.send(self.publisher.publish(&name).await)),
            Request::Deregister { name, publish, reply } => {
                drop(reply.send(self.deregister(name, publish).await));
            }
            Request::Restore(restore, reply) => drop(reply.send(self.restore(restore).await)),
            Request::Remake(file, reply) => drop(reply.send(self.publisher.remake(&file).await)),
            Request::Full(reply) => drop(reply.send(self.publisher.full().await)),
            Request::Combine(from, reply) => {
                let bases = self.nodes.bases(self.window).into_iter().map(|(_, head)| head);
                let bases = bases.chain([from]).collect();
                drop(reply.send(self.publisher.combine(from, &bases).await));
            }
            Request::Collect { keep, dry_run, reply } => {
                // A narrower window for once is no reason to strand a node that was heard of.
                let silence = keep.window.max(self.window);
                let bases = self.nodes.bases(silence);
                let report = collect::collect(&mut self.publisher, &bases, keep, dry_run).await;
                let expired_nodes = self.nodes.expired(silence);
                if !dry_run {
                    self.nodes.forget_expelled(silence);
                }
                drop(reply.send(report.map(|report| GcReport { expired_nodes, ..report })));
            }
        }
    }

    /// One snapshot for all who ask now, after the imports that wait behind them.
    async fn serve_snapshot(&mut self, mut askers: Vec<super::handle::Reply<SnapshotName>>) {
        let mut later = Vec::new();
        while let Ok(queued) = self.requests.try_recv() {
            if !queued.is_for_a_snapshot() {
                later.push(queued);
                continue;
            }
            match queued.begin() {
                Request::Snapshot(reply) => askers.push(reply),
                other => Box::pin(self.serve(other)).await,
            }
        }
        match self.snapshot().await {
            Ok(name) => askers.into_iter().for_each(|reply| drop(reply.send(Ok(name.clone())))),
            Err(error) => {
                // Only one can have the error itself; the others try for themselves.
                let mut askers = askers.into_iter();
                if let Some(first) = askers.next() {
                    drop(first.send(Err(error)));
                }
                for reply in askers {
                    drop(reply.send(self.snapshot().await));
                }
            }
        }
        for queued in later {
            Box::pin(self.serve(queued.begin())).await;
        }
    }

    async fn import(&mut self, request: import::ImportRequest) -> Result<(), VolumeError> {
        self.dirty = true;
        let images = self.images.clone();
        let import = move |mountpoint: PathBuf| {
            let imported = import::import(&mountpoint, &request);
            images.changed(&mountpoint, &request.manifest.name);
            imported
        };
        self.change(import).await
    }

    async fn discard(&mut self, name: ImageName) -> Result<bool, VolumeError> {
        let images = self.images.clone();
        let discard = move |mountpoint: PathBuf| {
            let discarded = import::discard(&mountpoint, &name);
            images.changed(&mountpoint, &name);
            discarded
        };
        let gone = self.change(discard).await?;
        self.dirty |= gone;
        Ok(gone)
    }

    async fn snapshot(&mut self) -> Result<SnapshotName, VolumeError> {
        let newest = self.publisher.newest().await?;
        match newest {
            Some(newest) if !self.dirty => Ok(newest.name),
            newest => {
                // Each snapshot has its delta before the next one comes.
                if newest.as_ref().map(|newest| newest.guid) != self.log.head().map(|head| head.guid) {
                    self.publisher.publish_all().await?;
                }
                self.ensure_mounted().await?;
                let number = newest.map_or(1, |newest| newest.name.number() + 1);
                let name = SnapshotName::new(number, clock::now());
                self.publisher.take_snapshot(&name).await?;
                kill_point(KillPoint::SnapshotTaken);
                self.dirty = false;
                tracing::info!(snapshot = %name, "snapshot taken");
                Ok(name)
            }
        }
    }

    async fn deregister(&mut self, name: ImageName, publish: bool) -> Result<DeregisterReply, VolumeError> {
        let outcome = match self.discard(name.clone()).await? {
            true => Removed::Removed,
            false => Removed::Unchanged,
        };
        tracing::info!(image = %name, ?outcome, publish, "deregistered");
        kill_point(KillPoint::Deregistered);
        let published = if publish { self.publish_head().await } else { Ok(None) };
        let removed = match outcome {
            Removed::Removed => "was removed from",
            Removed::Unchanged => "was removed earlier from",
        };
        let published =
            published.map_err(|source| VolumeError::Unpublished { name, removed, source: source.into() })?;
        Ok(DeregisterReply { outcome, published })
    }

    /// Tells the nodes what the head holds, unless they know.
    async fn publish_head(&mut self) -> Result<Option<SnapshotName>, VolumeError> {
        let newest = self.publisher.newest().await?.map(|newest| newest.guid);
        if !self.dirty && newest == self.log.head().map(|head| head.guid) {
            return Ok(None);
        }
        let name = self.snapshot().await?;
        kill_point(KillPoint::DeregisteredSnapshot);
        self.publisher.publish_all().await.inspect_err(log_failure)?;
        Ok(Some(name))
    }

    /// Runs file work off the runtime; it ends by itself, as it only reads and writes local files.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(PathBuf) -> Result<T, VolumeError> + Send + 'static,
    ) -> Result<T, VolumeError> {
        let mountpoint = self.layout.mountpoint.clone();
        tokio::task::spawn_blocking(move || work(mountpoint)).await.map_err(|_| VolumeError::Broken)?
    }
}

pub(super) async fn make_datasets(zfs: &dyn Zfs, layout: &Layout) -> Result<(), VolumeError> {
    let properties = vec![Property::Dedup, Property::Compression, Property::RecordSize64K, Property::NoAtime];
    let root = NewDataset { role: Role::Root, mountpoint: None, properties: properties.clone() };
    make_root(zfs, &layout.root, &root, &Owner::Registrar).await?;
    let mountpoint = Some(layout.mountpoint.clone());
    let volume = NewDataset { role: Role::Volume, mountpoint, properties };
    if zfs.create(&layout.volume, &volume).await? == Made::Created {
        tracing::info!(volume = %layout.volume, "volume created");
    }
    zfs.mount(&layout.volume).await?;
    zfs.check_mounted_at(&layout.volume, &layout.mountpoint).await?;
    Ok(())
}
