//! How reading, creating, mounting and destroying file systems fail.

use crate::{OWNER_PROPERTY, Owner, ZfsFailure};
use bootstash_base::error::Classified;
use bootstash_base::names::DatasetName;
use thiserror::Error;

/// Looking something up failed.
#[derive(Debug, Error, Classified)]
#[error("cannot read the state of {name}")]
#[class(source)]
pub struct ReadError {
    /// What was looked up.
    pub name: String,
    /// How the call to ZFS failed.
    pub source: ZfsFailure,
}

/// Making a file system failed.
#[derive(Debug, Error, Classified)]
pub enum CreateError {
    /// There is one of this name without our mark.
    #[error("{name} exists and is not bootstash's; destroy or rename it, or configure another name")]
    #[class(operator)]
    Foreign {
        /// The file system.
        name: DatasetName,
    },
    /// It belongs to another daemon.
    #[error(
        "{name} belongs to {owner}, and this is {wanted}; configure another data set for one of them, or, if that one \
         is no more, hand it over: zfs set {property}={wanted} {name}", property = OWNER_PROPERTY
    )]
    #[class(operator)]
    Owned {
        /// The file system.
        name: DatasetName,
        /// Who has it.
        owner: String,
        /// Who wanted it.
        wanted: Owner,
    },
    /// Whether it is there, and whose, is not known.
    #[error("cannot read the state of {name}")]
    #[class(source)]
    Unread {
        /// The file system.
        name: String,
        /// How the call to ZFS failed.
        source: ZfsFailure,
    },
    /// The file system above it is missing.
    #[error("cannot create {name}: its parent or pool does not exist; create the pool first (zpool create)")]
    #[class(operator)]
    NoParent {
        /// The file system.
        name: DatasetName,
    },
    /// The pool has no room.
    #[error("cannot create {name}: the pool is full; free some space or add a disk")]
    #[class(operator)]
    NoSpace {
        /// The file system.
        name: DatasetName,
    },
    /// ZFS failed in another way.
    #[error("cannot create {name}")]
    #[class(source)]
    Other {
        /// The file system.
        name: DatasetName,
        /// How the call to ZFS failed.
        source: ZfsFailure,
    },
}

/// Mounting failed.
#[derive(Debug, Error, Classified)]
pub enum MountError {
    /// No such file system.
    #[error("cannot mount {name}: it does not exist")]
    #[class(permanent)]
    Missing {
        /// The file system.
        name: DatasetName,
    },
    /// Somebody still has an earlier mount of it (zfs-fuse).
    #[error(
        "cannot mount {name}: a process holds an earlier mount of it; end that process (to find it: grep -l {name} \
         /proc/[0-9]*/mountinfo), or restart zfs-fuse"
    )]
    #[class(busy)]
    Held {
        /// The file system.
        name: DatasetName,
    },
    /// ZFS failed in another way.
    #[error("cannot mount {name}")]
    #[class(source)]
    Other {
        /// The file system.
        name: DatasetName,
        /// How the call to ZFS failed.
        source: ZfsFailure,
    },
}

/// Destroying failed.
#[derive(Debug, Error, Classified)]
pub enum DestroyError {
    /// It does not carry our mark.
    #[error("{name} is not bootstash's, and so it is not destroyed")]
    #[class(permanent)]
    Foreign {
        /// File system or snapshot.
        name: String,
    },
    /// It is open, mounted and in use, or held.
    #[error("cannot destroy {name}: it is in use")]
    #[class(busy)]
    Busy {
        /// File system or snapshot.
        name: String,
    },
    /// Clones or children depend on it.
    #[error("cannot destroy {name}: clones or children depend on it")]
    #[class(busy)]
    HasDependents {
        /// File system or snapshot.
        name: String,
    },
    /// Somebody else took a snapshot of it, which would go with it.
    #[error(
        "cannot destroy {name}: {snapshot} is not bootstash's; destroy that snapshot, and have whatever takes snapshots \
         leave bootstash's data sets out"
    )]
    #[class(operator)]
    ForeignSnapshot {
        /// The file system.
        name: String,
        /// The snapshot.
        snapshot: String,
    },
    /// ZFS failed in another way.
    #[error("cannot destroy {name}")]
    #[class(source)]
    Other {
        /// File system or snapshot.
        name: String,
        /// How the call to ZFS failed.
        source: ZfsFailure,
    },
}
