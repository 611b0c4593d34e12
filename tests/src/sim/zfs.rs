//! A host's ZFS: the fake, with time passing before and after the effect of each verb, so that a crash
//! falls before, between and after all of them; and with a checker that sees each effect.

use super::host::Life;
use super::invariants::InvariantChecker;
use async_trait::async_trait;
use bootstash_base::mount_table::DeviceNumber;
use bootstash_base::names::{DatasetName, SnapshotName};
use bootstash_zfs::fake::{FakeZfs, Verb};
use bootstash_zfs::*;
use std::fmt::{Debug, Display};
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::sync::WaitForCancellationFutureOwned;

/// How long a verb that reads takes, and one that writes, in milliseconds before and after its effect.
const READS_MS: u64 = 6;
const WRITES_MS: u64 = 60;

/// The ZFS of one life of a daemon.
#[derive(Debug)]
pub(super) struct SimZfs {
    fake: Arc<FakeZfs>,
    life: Life,
    checker: InvariantChecker,
    /// How many calls in a thousand fail.
    failing: Arc<AtomicU32>,
}

impl SimZfs {
    pub(super) fn new(
        fake: &Arc<FakeZfs>,
        life: &Life,
        checker: InvariantChecker,
        failing: &Arc<AtomicU32>,
    ) -> Self {
        Self { fake: Arc::clone(fake), life: life.clone(), checker, failing: Arc::clone(failing) }
    }

    async fn reads<T>(&self, verb: Verb, call: impl Future<Output = T>) -> T {
        self.around(verb, READS_MS, call).await
    }

    async fn writes<T: Debug, E: Display>(
        &self,
        verb: Verb,
        on: &str,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let noted = async {
            let done = call.await;
            match &done {
                Ok(done) => self.life.host.note(format_args!("{verb:?} {on}: {done:?}")),
                Err(error) => self.life.host.note(format_args!("{verb:?} {on} failed: {error}")),
            }
            done
        };
        self.around(verb, WRITES_MS, noted).await
    }

    async fn around<T>(&self, verb: Verb, most_ms: u64, call: impl Future<Output = T>) -> T {
        self.life.pause(0, most_ms).await;
        if self.life.host.happens(self.failing.load(Ordering::Relaxed)) {
            self.life.host.note(format_args!("{verb:?} is to fail"));
            self.fake.fail_next(verb, "I/O error");
        }
        let done = call.await;
        self.life.pause(0, most_ms).await;
        done
    }
}

#[async_trait]
impl Zfs for SimZfs {
    fn capabilities(&self) -> &Capabilities {
        self.fake.capabilities()
    }

    async fn dataset(&self, name: &DatasetName) -> Result<Option<Dataset>, ReadError> {
        self.reads(Verb::Dataset, self.fake.dataset(name)).await
    }

    async fn children(&self, parent: &DatasetName) -> Result<Vec<DatasetName>, ReadError> {
        self.reads(Verb::Children, self.fake.children(parent)).await
    }

    async fn create(&self, name: &DatasetName, new: &NewDataset) -> Result<Made, CreateError> {
        self.writes(Verb::Create, name.as_str(), self.fake.create(name, new)).await
    }

    async fn claim(&self, name: &DatasetName, owner: &Owner) -> Result<Made, CreateError> {
        self.life.pause(0, WRITES_MS).await;
        self.fake.claim(name, owner).await
    }

    async fn check_mounted_at(
        &self,
        name: &DatasetName,
        path: &Path,
    ) -> Result<DeviceNumber, MountPointError> {
        self.fake.check_mounted_at(name, path).await
    }

    async fn mount(&self, name: &DatasetName) -> Result<Made, MountError> {
        self.writes(Verb::Mount, name.as_str(), self.fake.mount(name)).await
    }

    async fn snapshots(&self, of: &DatasetName) -> Result<Vec<Snapshot>, ReadError> {
        self.reads(Verb::Snapshots, self.fake.snapshots(of)).await
    }

    async fn snapshot(&self, of: &DatasetName, name: &SnapshotName) -> Result<Snapshot, SnapshotError> {
        let call = async {
            let taken = self.fake.snapshot(of, name).await;
            taken.inspect(|taken| self.checker.taken(&self.fake, of, taken))
        };
        self.writes(Verb::Snapshot, of.as_str(), call).await
    }

    async fn bookmark(&self, of: &DatasetName, name: &SnapshotName) -> Result<Made, SnapshotError> {
        self.life.pause(0, WRITES_MS).await;
        self.fake.bookmark(of, name).await
    }

    async fn destroy_snapshot(&self, of: &DatasetName, name: &SnapshotName) -> Result<Removed, DestroyError> {
        let call = async {
            self.checker.destroys_snapshot(&self.fake, of, name).await;
            self.fake.destroy_snapshot(of, name).await
        };
        self.writes(Verb::DestroySnapshot, &format!("{of}@{name}"), call).await
    }

    async fn destroy(&self, name: &DatasetName) -> Result<Removed, DestroyError> {
        let call = async {
            let destroyed = self.checker.destroys(&self.fake, name).await;
            self.fake.destroy(name).await.inspect(|removed| {
                if *removed == Removed::Removed {
                    self.checker.destroyed(destroyed);
                }
            })
        };
        self.writes(Verb::Destroy, name.as_str(), call).await
    }

    async fn clone_snapshot(
        &self,
        of: &DatasetName,
        name: &SnapshotName,
        clone: &DatasetName,
        mountpoint: &Path,
    ) -> Result<Made, CloneError> {
        let call = async {
            let made = self.fake.clone_snapshot(of, name, clone, mountpoint).await;
            made.inspect(|_| self.checker.cloned(&self.fake, clone))
        };
        self.writes(Verb::Clone, clone.as_str(), call).await
    }

    async fn send(
        &self,
        of: &DatasetName,
        from: Option<&SnapshotName>,
        to: &SnapshotName,
    ) -> Result<ByteStream, SendError> {
        self.reads(Verb::Send, self.fake.send(of, from, to)).await
    }

    async fn receive_as(
        &self,
        into: &DatasetName,
        stream: ByteStream,
        how: Receive,
    ) -> Result<Received, ReceiveError> {
        let stream = Box::pin(Dying { stream, killed: Box::pin(self.life.token().cancelled_owned()) });
        let call = async {
            let received = self.fake.receive_as(into, stream, how).await;
            if let Ok(received) = &received {
                self.checker.received(&self.fake, into, received).await;
            }
            received
        };
        self.writes(Verb::Receive, into.as_str(), call).await
    }

    async fn partial(&self, of: &DatasetName) -> Result<Option<ResumeToken>, ReadError> {
        self.reads(Verb::Partial, self.fake.partial(of)).await
    }

    async fn drop_partial(&self, of: &DatasetName) -> Result<Removed, ReceiveError> {
        self.life.pause(0, WRITES_MS).await;
        let dropped = self.fake.drop_partial(of).await;
        self.life.pause(0, WRITES_MS).await;
        dropped
    }

    async fn send_rest(
        &self,
        of: &DatasetName,
        token: &ResumeToken,
    ) -> Result<(SnapshotName, ByteStream), SendError> {
        self.reads(Verb::Send, self.fake.send_rest(of, token)).await
    }

    async fn send_size(
        &self,
        of: &DatasetName,
        from: Option<&SnapshotName>,
        to: &SnapshotName,
    ) -> Result<Option<u64>, SendError> {
        self.fake.send_size(of, from, to).await
    }

    async fn prefetch_dedup_table(&self, of: &DatasetName) -> Result<Made, ReadError> {
        self.fake.prefetch_dedup_table(of).await
    }

    async fn usage(&self, of: &DatasetName) -> Result<Usage, ReadError> {
        self.reads(Verb::Usage, self.fake.usage(of)).await
    }
}

/// A stream into ZFS, which breaks off when the daemon that feeds it is killed.
struct Dying {
    stream: ByteStream,
    killed: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl AsyncRead for Dying {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.killed.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::Error::from(io::ErrorKind::BrokenPipe)));
        }
        self.stream.as_mut().poll_read(context, buffer)
    }
}
