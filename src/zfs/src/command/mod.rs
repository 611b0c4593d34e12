//! The real ZFS, through its own commands: OpenZFS and zfs-fuse alike.
//!
//! Promises those of [`Zfs`]. Programs are absolute paths, checked when opened; only columns asked
//! for by name are read; `run` alone starts processes and `stderr` alone knows what they say.

mod dead_mount;
mod destroy;
mod make;
mod parse;
mod probe;
mod read;
mod receive;
mod resume;
mod run;
mod send;
mod stderr;
mod stream_header;
mod way_back;

pub use probe::{OpenError, Programs};

use super::call_monitor::Calls;
use super::mount_point;
use super::{
    ByteStream, Capabilities, CloneError, CreateError, Dataset, DestroyError, Made, MountError,
    MountPointError, NewDataset, Owner, ReadError, Receive, ReceiveError, Received, Removed, ResumeToken,
    SendError, Snapshot, SnapshotError, Unanswered, Usage, Zfs,
};
use async_trait::async_trait;
use bootstash_base::mount_table::DeviceNumber;
use bootstash_base::names::{DatasetName, SnapshotName};
use run::Program;
use std::path::Path;
use std::time::Duration;

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// One call that moves no data. Destroying many deduplicated blocks takes its time.
    pub call: Duration,
    /// A send or receive in which no byte moves.
    pub stall: Duration,
    /// Waiting for something in use to be let go, as an unmount on zfs-fuse does a while after it returns.
    pub busy: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            call: Duration::from_secs(120),
            stall: Duration::from_secs(300),
            busy: Duration::from_secs(10),
        }
    }
}

/// ZFS by its commands `zfs` and `zpool`.
#[derive(Debug)]
pub struct CommandZfs {
    zfs: Program,
    zpool: Program,
    limits: Limits,
    capabilities: Capabilities,
    calls: Calls,
    /// One receive into a file system at a time.
    receiving: receive::Locks,
}

#[cfg(feature = "libzetta")]
impl CommandZfs {
    /// Where calls count that do not go through a program.
    pub(super) fn calls(&self) -> &Calls {
        &self.calls
    }
}

#[async_trait]
impl Zfs for CommandZfs {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn unanswered(&self) -> Option<Unanswered> {
        self.calls.longest()
    }

    async fn dataset(&self, name: &DatasetName) -> Result<Option<Dataset>, ReadError> {
        let found = self.find(name).await.map_err(|source| ReadError { name: name.to_string(), source })?;
        Ok(found.map(|found| found.state))
    }

    async fn children(&self, parent: &DatasetName) -> Result<Vec<DatasetName>, ReadError> {
        self.list_children(parent).await.map_err(|source| ReadError { name: parent.to_string(), source })
    }

    async fn create(&self, name: &DatasetName, new: &NewDataset) -> Result<Made, CreateError> {
        self.make_dataset(name, new).await
    }

    async fn claim(&self, name: &DatasetName, owner: &Owner) -> Result<Made, CreateError> {
        self.set_owner(name, owner).await
    }

    async fn mount(&self, name: &DatasetName) -> Result<Made, MountError> {
        self.mount_dataset(name).await
    }

    async fn check_mounted_at(
        &self,
        name: &DatasetName,
        path: &Path,
    ) -> Result<DeviceNumber, MountPointError> {
        mount_point::check(name, path).await
    }

    async fn snapshots(&self, of: &DatasetName) -> Result<Vec<Snapshot>, ReadError> {
        self.list_snapshots(of).await.map_err(|source| ReadError { name: of.to_string(), source })
    }

    async fn snapshot(&self, of: &DatasetName, name: &SnapshotName) -> Result<Snapshot, SnapshotError> {
        self.take_snapshot(of, name).await
    }

    async fn bookmark(&self, of: &DatasetName, name: &SnapshotName) -> Result<Made, SnapshotError> {
        self.make_bookmark(of, name).await
    }

    async fn destroy_snapshot(&self, of: &DatasetName, name: &SnapshotName) -> Result<Removed, DestroyError> {
        self.remove_snapshot(of, name).await
    }

    async fn destroy(&self, name: &DatasetName) -> Result<Removed, DestroyError> {
        self.remove_dataset(name).await
    }

    async fn clone_snapshot(
        &self,
        of: &DatasetName,
        name: &SnapshotName,
        clone: &DatasetName,
        mountpoint: &Path,
    ) -> Result<Made, CloneError> {
        self.make_clone(of, name, clone, mountpoint).await
    }

    async fn send(
        &self,
        of: &DatasetName,
        from: Option<&SnapshotName>,
        to: &SnapshotName,
    ) -> Result<ByteStream, SendError> {
        self.start_send(of, from, to).await
    }

    async fn receive_as(
        &self,
        into: &DatasetName,
        stream: ByteStream,
        how: Receive,
    ) -> Result<Received, ReceiveError> {
        self.receive_stream(into, stream, how).await
    }

    async fn partial(&self, of: &DatasetName) -> Result<Option<ResumeToken>, ReadError> {
        self.find_partial(of).await.map_err(|source| ReadError { name: of.to_string(), source })
    }

    async fn drop_partial(&self, of: &DatasetName) -> Result<Removed, ReceiveError> {
        self.abandon(of).await
    }

    async fn send_rest(
        &self,
        of: &DatasetName,
        token: &ResumeToken,
    ) -> Result<(SnapshotName, ByteStream), SendError> {
        self.resume_send(of, token).await
    }

    async fn send_size(
        &self,
        of: &DatasetName,
        from: Option<&SnapshotName>,
        to: &SnapshotName,
    ) -> Result<Option<u64>, SendError> {
        self.estimate(of, from, to).await
    }

    async fn prefetch_dedup_table(&self, of: &DatasetName) -> Result<Made, ReadError> {
        self.load_dedup_table(of).await.map_err(|source| ReadError { name: of.to_string(), source })
    }

    async fn usage(&self, of: &DatasetName) -> Result<Usage, ReadError> {
        self.measure(of).await.map_err(|source| ReadError { name: of.to_string(), source })
    }
}
