//! How taking and cloning snapshots fail.

use crate::ZfsFailure;
use bootstash_base::error::Classified;
use bootstash_base::names::{DatasetName, SnapshotName};
use thiserror::Error;

/// Taking a snapshot failed.
#[derive(Debug, Error, Classified)]
pub enum SnapshotError {
    /// No such file system.
    #[error("cannot take snapshot {name} of {of}: the file system does not exist")]
    #[class(permanent)]
    Missing {
        /// The file system.
        of: DatasetName,
        /// The snapshot.
        name: SnapshotName,
    },
    /// The pool has no room.
    #[error("cannot take snapshot {name} of {of}: the pool is full; free some space or add a disk")]
    #[class(operator)]
    NoSpace {
        /// The file system.
        of: DatasetName,
        /// The snapshot.
        name: SnapshotName,
    },
    /// ZFS failed in another way.
    #[error("cannot take snapshot {name} of {of}")]
    #[class(source)]
    Other {
        /// The file system.
        of: DatasetName,
        /// The snapshot.
        name: SnapshotName,
        /// How the call to ZFS failed.
        source: ZfsFailure,
    },
}

/// Cloning failed.
#[derive(Debug, Error, Classified)]
pub enum CloneError {
    /// No such snapshot.
    #[error("cannot clone {of}@{snapshot}: it does not exist")]
    #[class(permanent)]
    Missing {
        /// The file system.
        of: DatasetName,
        /// The snapshot.
        snapshot: SnapshotName,
    },
    /// The clone's name is taken by something not ours.
    #[error("{name} exists and is not bootstash's")]
    #[class(operator)]
    Foreign {
        /// The clone.
        name: DatasetName,
    },
    /// The clone is there and cannot be mounted: somebody still has an earlier mount of it (zfs-fuse).
    #[error(
        "cannot mount {name}: a process holds an earlier mount of it; end that process (to find it: grep -l {name} \
         /proc/[0-9]*/mountinfo), or restart zfs-fuse"
    )]
    #[class(busy)]
    Held {
        /// The clone.
        name: DatasetName,
    },
    /// ZFS failed in another way.
    #[error("cannot clone {of}@{snapshot}")]
    #[class(source)]
    Other {
        /// The file system.
        of: DatasetName,
        /// The snapshot.
        snapshot: SnapshotName,
        /// How the call to ZFS failed.
        source: ZfsFailure,
    },
}
