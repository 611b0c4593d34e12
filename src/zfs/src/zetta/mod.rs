//! OpenZFS in the kernel with fewer programs: snapshots are taken, destroyed and sent by calls of
//! libzfs_core, by way of the crate libzetta; all else goes through the commands.
//!
//! Promises those of [`Zfs`], and that no caller can tell it from [`CommandZfs`] but by the time it
//! takes. One promise is weaker: a call that is blocked in the kernel cannot be ended. Its caller gets
//! a [`ZfsFailure::Deadline`](super::ZfsFailure::Deadline), and a thread stays with it; how many, and
//! what then, says `BlockingPool`. A stream that is dropped ends its thread at that thread's next byte.

mod library;
mod verbs;

use super::{
    ByteStream, Capabilities, CloneError, CommandZfs, CreateError, Dataset, DestroyError, Flavor, Limits,
    Made, MountError, MountPointError, NewDataset, OpenError, Owner, Programs, ReadError, Receive,
    ReceiveError, Received, Removed, ResumeToken, SendError, Snapshot, SnapshotError, Unanswered, Usage, Zfs,
};
use async_trait::async_trait;
use bootstash_base::mount_table::DeviceNumber;
use bootstash_base::names::{DatasetName, SnapshotName};
use library::Library;
use std::path::Path;

/// ZFS by libzfs_core, and by its commands where that has no call.
#[derive(Debug)]
pub struct ZettaZfs {
    library: Library,
    commands: CommandZfs,
    limits: Limits,
    capabilities: Capabilities,
}

impl ZettaZfs {
    /// Opens ZFS for work in `pool`, with the usual limits.
    ///
    /// # Errors
    /// Those of [`CommandZfs::open`]; [`OpenError::NoKernel`] where ZFS is not in the kernel,
    /// [`OpenError::Library`] where libzfs_core cannot be initialised.
    pub async fn open(programs: &Programs, pool: &str) -> Result<Self, OpenError> {
        Self::open_with(programs, pool, Limits::default()).await
    }

    /// Opens ZFS for work in `pool`.
    ///
    /// # Errors
    /// Like [`ZettaZfs::open`].
    pub async fn open_with(programs: &Programs, pool: &str, limits: Limits) -> Result<Self, OpenError> {
        let commands = CommandZfs::open_with(programs, pool, limits).await?;
        Self::over(commands, limits).map_err(|(error, _)| error)
    }

    /// On top of the commands, which come back where that cannot be.
    pub(super) fn over(commands: CommandZfs, limits: Limits) -> Result<Self, (OpenError, Box<CommandZfs>)> {
        let library = match commands.capabilities().flavor {
            Flavor::OpenZfs => Library::open(limits.call, commands.calls()),
            // Its pools are not the kernel's, although both may be on one host.
            Flavor::ZfsFuse | Flavor::Fake => Err(OpenError::NoKernel),
        };
        match library {
            Ok(library) => {
                let capabilities = Capabilities { libzfs_core: true, ..commands.capabilities().clone() };
                Ok(Self { library, commands, limits, capabilities })
            }
            Err(error) => Err((error, Box::new(commands))),
        }
    }
}

#[async_trait]
impl Zfs for ZettaZfs {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn unanswered(&self) -> Option<Unanswered> {
        self.commands.unanswered()
    }

    async fn dataset(&self, name: &DatasetName) -> Result<Option<Dataset>, ReadError> {
        self.commands.dataset(name).await
    }

    async fn children(&self, parent: &DatasetName) -> Result<Vec<DatasetName>, ReadError> {
        self.commands.children(parent).await
    }

    async fn create(&self, name: &DatasetName, new: &NewDataset) -> Result<Made, CreateError> {
        self.commands.create(name, new).await
    }

    async fn claim(&self, name: &DatasetName, owner: &Owner) -> Result<Made, CreateError> {
        self.commands.claim(name, owner).await
    }

    async fn check_mounted_at(
        &self,
        name: &DatasetName,
        path: &Path,
    ) -> Result<DeviceNumber, MountPointError> {
        self.commands.check_mounted_at(name, path).await
    }

    async fn mount(&self, name: &DatasetName) -> Result<Made, MountError> {
        self.commands.mount(name).await
    }

    async fn snapshots(&self, of: &DatasetName) -> Result<Vec<Snapshot>, ReadError> {
        self.commands.snapshots(of).await
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
        self.commands.destroy(name).await
    }

    async fn clone_snapshot(
        &self,
        of: &DatasetName,
        name: &SnapshotName,
        clone: &DatasetName,
        mountpoint: &Path,
    ) -> Result<Made, CloneError> {
        self.commands.clone_snapshot(of, name, clone, mountpoint).await
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
        self.commands.receive_as(into, stream, how).await
    }

    async fn partial(&self, of: &DatasetName) -> Result<Option<ResumeToken>, ReadError> {
        self.commands.partial(of).await
    }

    async fn drop_partial(&self, of: &DatasetName) -> Result<Removed, ReceiveError> {
        self.commands.drop_partial(of).await
    }

    async fn send_rest(
        &self,
        of: &DatasetName,
        token: &ResumeToken,
    ) -> Result<(SnapshotName, ByteStream), SendError> {
        self.commands.send_rest(of, token).await
    }

    async fn send_size(
        &self,
        of: &DatasetName,
        from: Option<&SnapshotName>,
        to: &SnapshotName,
    ) -> Result<Option<u64>, SendError> {
        self.commands.send_size(of, from, to).await
    }

    async fn prefetch_dedup_table(&self, of: &DatasetName) -> Result<Made, ReadError> {
        self.commands.prefetch_dedup_table(of).await
    }

    async fn usage(&self, of: &DatasetName) -> Result<Usage, ReadError> {
        self.commands.usage(of).await
    }
}
