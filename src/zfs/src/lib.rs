//! The only interface to ZFS: one narrow trait, the commands behind it, libzfs_core where bootstash was built
//! for that (feature `libzetta`), and a fake for speed.
//!
//! Promises: every call has a deadline; what is made carries [`ROLE_PROPERTY`], and nothing else is
//! ever destroyed; a call that fails leaves the data set as it was.

mod busy_retry;
mod call_monitor;
mod checked_stream;
mod command;
mod error;
mod failure;
#[cfg(any(feature = "testing", test))]
pub mod fake;
mod model;
mod mount_point;
mod open;
mod owner;
mod resume;
#[cfg(feature = "libzetta")]
mod zetta;

pub use command::{CommandZfs, Limits, OpenError, Programs};
pub use error::{
    CloneError, CreateError, DestroyError, MountError, MountPointError, ReadError, ReceiveError, SendError,
    SnapshotError,
};
pub use failure::ZfsFailure;
pub use model::{
    Capabilities, Dataset, DedupTable, Flavor, Made, NewDataset, Property, ROLE_PROPERTY, Received, Removed,
    Role, SNAPSHOT_ROLE, Snapshot, Usage,
};
pub use open::{open, warm_up};
pub use owner::{OWNER_PROPERTY, Owner, make_root};
#[cfg(feature = "libzetta")]
pub use zetta::ZettaZfs;

pub use call_monitor::{Unanswered, usage_soon, watch};
pub use resume::{Receive, ResumeToken};

use async_trait::async_trait;
use bootstash_base::mount_table::DeviceNumber;
use bootstash_base::names::{DatasetName, SnapshotName};
use std::path::Path;
use std::pin::Pin;
use tokio::io::AsyncRead;

/// A stream of bytes that somebody else pulls. For a send: an exit status other than success
/// arrives as an error in place of the end of file, so that reading to the end proves the whole.
pub type ByteStream = Pin<Box<dyn AsyncRead + Send>>;

/// What bootstash asks of ZFS. Verbs are idempotent and say what they did.
#[async_trait]
pub trait Zfs: Send + Sync + std::fmt::Debug {
    /// What this ZFS can do; probed once, when it was opened.
    fn capabilities(&self) -> &Capabilities;

    /// The call that has waited longest for an answer, if any waits.
    fn unanswered(&self) -> Option<Unanswered> {
        None
    }

    /// A file system's state; `None` where there is none of this name.
    async fn dataset(&self, name: &DatasetName) -> Result<Option<Dataset>, ReadError>;

    /// The file systems directly below `parent`, in order of name; empty where `parent` does not exist.
    async fn children(&self, parent: &DatasetName) -> Result<Vec<DatasetName>, ReadError>;

    /// Makes a file system with our role; `Made::Unchanged` where it is there with that role
    /// (its properties are then set to what is asked). One that is not ours is an error.
    async fn create(&self, name: &DatasetName, new: &NewDataset) -> Result<Made, CreateError>;

    /// Notes whose a file system of ours is, where that is not noted; `Made::Unchanged` where it is this
    /// owner's. Another's is an error.
    async fn claim(&self, name: &DatasetName, owner: &Owner) -> Result<Made, CreateError>;

    /// Mounts a file system at its mount point; `Made::Unchanged` where it is mounted.
    async fn mount(&self, name: &DatasetName) -> Result<Made, MountError>;

    /// Whether the root of a file system is what is seen at `path`: what is written there is in it, and not
    /// in whatever lies below. Gives its device.
    async fn check_mounted_at(
        &self,
        name: &DatasetName,
        path: &Path,
    ) -> Result<DeviceNumber, MountPointError>;

    /// The snapshots of a file system that bootstash named, oldest first; empty where it does not exist.
    async fn snapshots(&self, of: &DatasetName) -> Result<Vec<Snapshot>, ReadError>;

    /// Takes a snapshot, marked as ours; taking it again returns the one that is there.
    async fn snapshot(&self, of: &DatasetName, name: &SnapshotName) -> Result<Snapshot, SnapshotError>;

    /// Leaves a bookmark of a snapshot's name, from which increments can be sent when the snapshot is
    /// gone; those left before go. `Made::Unchanged` where it is there, or this ZFS has none.
    async fn bookmark(&self, of: &DatasetName, name: &SnapshotName) -> Result<Made, SnapshotError>;

    /// Destroys one snapshot of a file system of ours.
    async fn destroy_snapshot(&self, of: &DatasetName, name: &SnapshotName) -> Result<Removed, DestroyError>;

    /// Destroys a file system of ours with its snapshots (not with its children or clones). Waits
    /// out an unmount that is still going on.
    async fn destroy(&self, name: &DatasetName) -> Result<Removed, DestroyError>;

    /// Makes a read-only clone of a snapshot, with [`Role::View`], mounted at `mountpoint`.
    async fn clone_snapshot(
        &self,
        of: &DatasetName,
        name: &SnapshotName,
        clone: &DatasetName,
        mountpoint: &Path,
    ) -> Result<Made, CloneError>;

    /// The stream that brings a receiver from `from` (or from nothing) to `to`.
    async fn send(
        &self,
        of: &DatasetName,
        from: Option<&SnapshotName>,
        to: &SnapshotName,
    ) -> Result<ByteStream, SendError>;

    /// Receives a stream into `into` without mounting it; a file system made by this gets
    /// [`Role::Volume`]. An error from `stream` aborts the receive. On any error, and when the future
    /// is dropped, `into` is at the snapshot it had before.
    async fn receive(&self, into: &DatasetName, stream: ByteStream) -> Result<Received, ReceiveError> {
        self.receive_as(into, stream, Receive::NonResumable).await
    }

    /// Like [`Self::receive`], and says what becomes of it when it is cut. Partial state of an earlier
    /// one is an error, but for [`Receive::Resume`], which is one without it.
    async fn receive_as(
        &self,
        into: &DatasetName,
        stream: ByteStream,
        how: Receive,
    ) -> Result<Received, ReceiveError>;

    /// What a cut receive into `of` left to go on with; `None` where it left nothing, or this ZFS never
    /// leaves anything.
    async fn partial(&self, of: &DatasetName) -> Result<Option<ResumeToken>, ReadError>;

    /// Gives up what a cut receive left; a file system that it was making is gone then.
    async fn drop_partial(&self, of: &DatasetName) -> Result<Removed, ReceiveError>;

    /// The rest of a stream of one of `of`'s snapshots, and which, for who holds `token`; a token of
    /// anything else is stale.
    async fn send_rest(
        &self,
        of: &DatasetName,
        token: &ResumeToken,
    ) -> Result<(SnapshotName, ByteStream), SendError>;

    /// About how many bytes [`Self::send`] would give; `None` where this ZFS cannot tell.
    async fn send_size(
        &self,
        of: &DatasetName,
        from: Option<&SnapshotName>,
        to: &SnapshotName,
    ) -> Result<Option<u64>, SendError>;

    /// Loads the deduplication table of `of`'s pool into memory, so that the first writes after a boot do
    /// not wait for it piece by piece. `Made::Unchanged` where this ZFS cannot.
    async fn prefetch_dedup_table(&self, of: &DatasetName) -> Result<Made, ReadError>;

    /// Space taken by a file system and its pool's ratios.
    async fn usage(&self, of: &DatasetName) -> Result<Usage, ReadError>;
}
