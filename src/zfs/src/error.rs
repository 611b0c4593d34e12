//! Errors, a type for each operation.

use crate::ZfsFailure;
use bootstash_base::error::Classified;
use bootstash_base::names::{DatasetName, SnapshotName};
use thiserror::Error;

/// Looking something up failed.
#[derive(Debug, Error, Classified)]
#[error("cannot read the state of {name}")]
#[class(source)]
pub struct ReadError {
    /// What was looked up.
    pub name: String,
    /// Why.
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
    /// Anything else.
    #[error("cannot create {name}")]
    #[class(source)]
    Other {
        /// The file system.
        name: DatasetName,
        /// Why.
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
    /// Anything else.
    #[error("cannot mount {name}")]
    #[class(source)]
    Other {
        /// The file system.
        name: DatasetName,
        /// Why.
        source: ZfsFailure,
    },
}

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
    /// Anything else.
    #[error("cannot take snapshot {name} of {of}")]
    #[class(source)]
    Other {
        /// The file system.
        of: DatasetName,
        /// The snapshot.
        name: SnapshotName,
        /// Why.
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
    /// Anything else.
    #[error("cannot destroy {name}")]
    #[class(source)]
    Other {
        /// File system or snapshot.
        name: String,
        /// Why.
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
    /// Anything else.
    #[error("cannot clone {of}@{snapshot}")]
    #[class(source)]
    Other {
        /// The file system.
        of: DatasetName,
        /// The snapshot.
        snapshot: SnapshotName,
        /// Why.
        source: ZfsFailure,
    },
}

/// Sending could not start. What goes wrong later comes out of the stream.
#[derive(Debug, Error, Classified)]
pub enum SendError {
    /// One of the snapshots is not there.
    #[error("cannot send {of}@{snapshot}: it does not exist")]
    #[class(permanent)]
    Missing {
        /// The file system.
        of: DatasetName,
        /// The missing snapshot.
        snapshot: SnapshotName,
    },
    /// A resume token leads nowhere (any more).
    #[error("the resume token fits no snapshot of {of}; start the receive anew")]
    #[class(permanent)]
    Stale {
        /// The file system.
        of: DatasetName,
    },
    /// Anything else.
    #[error("cannot send {of}")]
    #[class(source)]
    Other {
        /// The file system.
        of: DatasetName,
        /// Why.
        source: ZfsFailure,
    },
}

/// Receiving failed; the destination is at the snapshot it had.
#[derive(Debug, Error, Classified)]
pub enum ReceiveError {
    /// The stream starts from another snapshot than the newest here.
    #[error("{into} does not have the snapshot this stream starts from as its newest")]
    #[class(permanent)]
    WrongBase {
        /// The destination.
        into: DatasetName,
    },
    /// It was written to since its newest snapshot.
    #[error(
        "{into} was modified since its newest snapshot; bootstash volumes must not be written to by others"
    )]
    #[class(operator)]
    Modified {
        /// The destination.
        into: DatasetName,
    },
    /// A full stream, and the destination is there.
    #[error("{into} exists, and this is a full stream")]
    #[class(permanent)]
    Exists {
        /// The destination.
        into: DatasetName,
    },
    /// There is a file system of this name without our mark.
    #[error("{into} exists and is not bootstash's; destroy or rename it, or configure another name")]
    #[class(operator)]
    Foreign {
        /// The destination.
        into: DatasetName,
    },
    /// The file system above it is missing.
    #[error("cannot receive into {into}: its parent does not exist")]
    #[class(operator)]
    NoParent {
        /// The destination.
        into: DatasetName,
    },
    /// The stream ended early.
    #[error("the stream into {into} is incomplete")]
    #[class(transient)]
    Truncated {
        /// The destination.
        into: DatasetName,
    },
    /// The stream's own checksum or magic is wrong.
    #[error("the stream into {into} is corrupt")]
    #[class(permanent)]
    Corrupt {
        /// The destination.
        into: DatasetName,
    },
    /// The pool has no room.
    #[error("no space in the pool to receive into {into}; free some or add a disk")]
    #[class(operator)]
    NoSpace {
        /// The destination.
        into: DatasetName,
    },
    /// A quota stops it.
    #[error("{into} reached its quota; raise it (zfs set quota=)")]
    #[class(operator)]
    Quota {
        /// The destination.
        into: DatasetName,
    },
    /// Another receive into it is going on.
    #[error("another receive into {into} is under way")]
    #[class(busy)]
    Busy {
        /// The destination.
        into: DatasetName,
    },
    /// An earlier receive left resumable state.
    #[error("{into} holds the partial state of an interrupted receive; clear it (zfs receive -A)")]
    #[class(operator)]
    PartialState {
        /// The destination.
        into: DatasetName,
    },
    /// The stream we were given broke off with an error.
    #[error("the stream into {into} broke off")]
    #[class(transient)]
    Source {
        /// The destination.
        into: DatasetName,
        /// What the reader said.
        source: std::io::Error,
    },
    /// Anything else.
    #[error("cannot receive into {into}")]
    #[class(source)]
    Other {
        /// The destination.
        into: DatasetName,
        /// Why.
        source: ZfsFailure,
    },
}
