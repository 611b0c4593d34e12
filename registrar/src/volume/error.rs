//! How changes to the volume fail.

use bootstash_base::error::Classified;
use bootstash_base::names::{Guid, ImageName};
use bootstash_delta::DeltaWriteError;
use bootstash_delta::catalog::CatalogError;
use std::io;
use std::path::PathBuf;

/// A change to the volume failed; the volume is as it was.
#[derive(Debug, thiserror::Error, Classified)]
pub enum VolumeError {
    /// The pool cannot take the cache.
    #[error(
        "no space in the pool for the cache of {name} ({cache_bytes} bytes); free some \
         (bootstash deregister, bootstash gc) or add a disk, and register it again"
    )]
    #[class(operator)]
    NoSpace {
        /// The image, by its registered name.
        name: ImageName,
        /// What was to be stored, in bytes.
        cache_bytes: u64,
    },
    /// A file or directory of the volume.
    #[error("cannot write {}", .path.display())]
    #[class(operator)]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The volume's content cannot be read.
    #[error(transparent)]
    #[class(operator)]
    Catalog(#[from] CatalogError),
    /// ZFS cannot say what there is.
    #[error(transparent)]
    #[class(source)]
    Read(#[from] bootstash_zfs::ReadError),
    /// The file systems cannot be made.
    #[error(transparent)]
    #[class(source)]
    Create(#[from] bootstash_zfs::CreateError),
    /// The volume cannot be mounted.
    #[error(transparent)]
    #[class(source)]
    Mount(#[from] bootstash_zfs::MountError),
    /// What lies at the volume's place is not the volume.
    #[error(transparent)]
    #[class(source)]
    MountPoint(#[from] bootstash_zfs::MountPointError),
    /// No snapshot.
    #[error(transparent)]
    #[class(source)]
    Snapshot(#[from] bootstash_zfs::SnapshotError),
    /// No stream for the delta.
    #[error(transparent)]
    #[class(source)]
    Send(#[from] bootstash_zfs::SendError),
    /// No delta file.
    #[error(transparent)]
    #[class(source)]
    Delta(#[from] DeltaWriteError),
    /// A snapshot stays.
    #[error(transparent)]
    #[class(source)]
    Destroy(#[from] bootstash_zfs::DestroyError),
    /// What a node sent was not received.
    #[error(transparent)]
    #[class(source)]
    Receive(#[from] bootstash_zfs::ReceiveError),
    /// The volume is not lost.
    #[error(
        "the registrar's volume holds {what}, and only an empty one is replaced; to replace it all the same, stop \
         the registrar, set its volume aside with `zfs rename`, and start it again"
    )]
    #[class(permanent)]
    NotEmpty {
        /// What it holds.
        what: String,
    },
    /// An image is out of the head, and the nodes were not told.
    #[error(
        "{name} {removed} the registrar's volume, but publishing that failed, and nodes still have it; they learn it \
         with the next snapshot, or once `bootstash deregister {name} --publish` succeeds"
    )]
    #[class(source)]
    Unpublished {
        /// The image.
        name: ImageName,
        /// Whether it was this order that took it out.
        removed: &'static str,
        /// What stopped publishing.
        source: Box<VolumeError>,
    },
    /// Another snapshot came than was announced.
    #[error("the node announced snapshot {wanted} and sent {got}; ask another node")]
    #[class(permanent)]
    OtherSnapshot {
        /// What was announced.
        wanted: Guid,
        /// What came.
        got: Guid,
    },
    /// There is no snapshot yet.
    #[error("nothing is published yet; register an image first")]
    #[class(transient)]
    Empty,
    /// A snapshot has no delta.
    #[error("no delta leads to snapshot {snapshot}")]
    #[class(transient)]
    NoDelta {
        /// The snapshot.
        snapshot: bootstash_base::names::SnapshotName,
    },
    /// Work on files broke off in the middle.
    #[error("work on the volume's files broke off; see the log")]
    #[class(operator)]
    Broken,
    /// The registrar stops.
    #[error("the registrar is stopping")]
    #[class(cancelled)]
    Stopping,
}
