//! Errors, a type for each operation.

use crate::ZfsFailure;
use bootstash_base::error::{Classified, ErrorClass};
use bootstash_base::names::{DatasetName, Guid, SnapshotName};
use thiserror::Error;

/// Looking something up failed.
#[derive(Debug, Error)]
#[error("cannot read the state of {name}")]
pub struct ReadError {
    /// What was looked up.
    pub name: String,
    /// Why.
    pub source: ZfsFailure,
}

/// Making a file system failed.
#[derive(Debug, Error)]
pub enum CreateError {
    /// There is one of this name without our mark.
    #[error("{name} exists and is not bootstash's; destroy or rename it, or configure another name")]
    Foreign {
        /// The file system.
        name: DatasetName,
    },
    /// The file system above it is missing.
    #[error("cannot create {name}: its parent or pool does not exist; create the pool first (zpool create)")]
    NoParent {
        /// The file system.
        name: DatasetName,
    },
    /// The pool has no room.
    #[error("cannot create {name}: the pool is full; free some space or add a disk")]
    NoSpace {
        /// The file system.
        name: DatasetName,
    },
    /// Anything else.
    #[error("cannot create {name}")]
    Other {
        /// The file system.
        name: DatasetName,
        /// Why.
        source: ZfsFailure,
    },
}

/// Mounting failed.
#[derive(Debug, Error)]
pub enum MountError {
    /// No such file system.
    #[error("cannot mount {name}: it does not exist")]
    Missing {
        /// The file system.
        name: DatasetName,
    },
    /// Anything else.
    #[error("cannot mount {name}")]
    Other {
        /// The file system.
        name: DatasetName,
        /// Why.
        source: ZfsFailure,
    },
}

/// Taking a snapshot failed.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// No such file system.
    #[error("cannot take snapshot {name} of {of}: the file system does not exist")]
    Missing {
        /// The file system.
        of: DatasetName,
        /// The snapshot.
        name: SnapshotName,
    },
    /// The pool has no room.
    #[error("cannot take snapshot {name} of {of}: the pool is full; free some space or add a disk")]
    NoSpace {
        /// The file system.
        of: DatasetName,
        /// The snapshot.
        name: SnapshotName,
    },
    /// Anything else.
    #[error("cannot take snapshot {name} of {of}")]
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
#[derive(Debug, Error)]
pub enum DestroyError {
    /// It does not carry our mark.
    #[error("{name} is not bootstash's, and so it is not destroyed")]
    Foreign {
        /// File system or snapshot.
        name: String,
    },
    /// It is open, mounted and in use, or held.
    #[error("cannot destroy {name}: it is in use")]
    Busy {
        /// File system or snapshot.
        name: String,
    },
    /// Clones or children depend on it.
    #[error("cannot destroy {name}: clones or children depend on it")]
    HasDependents {
        /// File system or snapshot.
        name: String,
    },
    /// Somebody else took a snapshot of it, which would go with it.
    #[error(
        "cannot destroy {name}: {snapshot} is not bootstash's; destroy that snapshot, and have whatever takes snapshots \
         leave bootstash's data sets out"
    )]
    ForeignSnapshot {
        /// The file system.
        name: String,
        /// The snapshot.
        snapshot: String,
    },
    /// Anything else.
    #[error("cannot destroy {name}")]
    Other {
        /// File system or snapshot.
        name: String,
        /// Why.
        source: ZfsFailure,
    },
}

/// Cloning failed.
#[derive(Debug, Error)]
pub enum CloneError {
    /// No such snapshot.
    #[error("cannot clone {of}@{snapshot}: it does not exist")]
    Missing {
        /// The file system.
        of: DatasetName,
        /// The snapshot.
        snapshot: SnapshotName,
    },
    /// The clone's name is taken by something not ours.
    #[error("{name} exists and is not bootstash's")]
    Foreign {
        /// The clone.
        name: DatasetName,
    },
    /// Anything else.
    #[error("cannot clone {of}@{snapshot}")]
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
#[derive(Debug, Error)]
pub enum SendError {
    /// One of the snapshots is not there.
    #[error("cannot send {of}@{snapshot}: it does not exist")]
    Missing {
        /// The file system.
        of: DatasetName,
        /// The missing snapshot.
        snapshot: SnapshotName,
    },
    /// A resume token leads nowhere (any more).
    #[error("the resume token fits no snapshot of {of}; start the receive anew")]
    Stale {
        /// The file system.
        of: DatasetName,
    },
    /// Anything else.
    #[error("cannot send {of}")]
    Other {
        /// The file system.
        of: DatasetName,
        /// Why.
        source: ZfsFailure,
    },
}

/// Receiving failed; the destination is at the snapshot it had.
#[derive(Debug, Error)]
pub enum ReceiveError {
    /// The stream starts from another snapshot than the newest here.
    #[error("{into} does not have the snapshot this stream starts from as its newest")]
    WrongBase {
        /// The destination.
        into: DatasetName,
    },
    /// It was written to since its newest snapshot.
    #[error(
        "{into} was modified since its newest snapshot; bootstash volumes must not be written to by others"
    )]
    Modified {
        /// The destination.
        into: DatasetName,
    },
    /// A full stream, and the destination is there.
    #[error("{into} exists, and this is a full stream")]
    Exists {
        /// The destination.
        into: DatasetName,
    },
    /// There is a file system of this name without our mark.
    #[error("{into} exists and is not bootstash's; destroy or rename it, or configure another name")]
    Foreign {
        /// The destination.
        into: DatasetName,
    },
    /// The file system above it is missing.
    #[error("cannot receive into {into}: its parent does not exist")]
    NoParent {
        /// The destination.
        into: DatasetName,
    },
    /// The stream ended early.
    #[error("the stream into {into} is incomplete")]
    Truncated {
        /// The destination.
        into: DatasetName,
    },
    /// The stream's own checksum or magic is wrong.
    #[error("the stream into {into} is corrupt")]
    Corrupt {
        /// The destination.
        into: DatasetName,
    },
    /// The pool has no room.
    #[error("no space in the pool to receive into {into}; free some or add a disk")]
    NoSpace {
        /// The destination.
        into: DatasetName,
    },
    /// A quota stops it.
    #[error("{into} reached its quota; raise it (zfs set quota=)")]
    Quota {
        /// The destination.
        into: DatasetName,
    },
    /// Another receive into it is going on.
    #[error("another receive into {into} is under way")]
    Busy {
        /// The destination.
        into: DatasetName,
    },
    /// An earlier receive left resumable state.
    #[error("{into} holds the partial state of an interrupted receive; clear it (zfs receive -A)")]
    PartialState {
        /// The destination.
        into: DatasetName,
    },
    /// The stream we were given broke off with an error.
    #[error("the stream into {into} broke off")]
    Source {
        /// The destination.
        into: DatasetName,
        /// What the reader said.
        source: std::io::Error,
    },
    /// It was received, but is not what was announced.
    #[error("{into} is at snapshot GUID {got}, not at {wanted} as announced")]
    WrongResult {
        /// The destination.
        into: DatasetName,
        /// What was announced.
        wanted: Guid,
        /// What came.
        got: Guid,
    },
    /// Anything else.
    #[error("cannot receive into {into}")]
    Other {
        /// The destination.
        into: DatasetName,
        /// Why.
        source: ZfsFailure,
    },
}

impl Classified for ReadError {
    fn kind(&self) -> ErrorClass {
        self.source.kind()
    }
}

impl Classified for CreateError {
    fn kind(&self) -> ErrorClass {
        match self {
            Self::Foreign { .. } | Self::NoParent { .. } | Self::NoSpace { .. } => ErrorClass::Operator,
            Self::Other { source, .. } => source.kind(),
        }
    }
}

impl Classified for MountError {
    fn kind(&self) -> ErrorClass {
        match self {
            Self::Missing { .. } => ErrorClass::Permanent,
            Self::Other { source, .. } => source.kind(),
        }
    }
}

impl Classified for SnapshotError {
    fn kind(&self) -> ErrorClass {
        match self {
            Self::Missing { .. } => ErrorClass::Permanent,
            Self::NoSpace { .. } => ErrorClass::Operator,
            Self::Other { source, .. } => source.kind(),
        }
    }
}

impl Classified for DestroyError {
    fn kind(&self) -> ErrorClass {
        match self {
            Self::Foreign { .. } => ErrorClass::Permanent,
            Self::ForeignSnapshot { .. } => ErrorClass::Operator,
            Self::Busy { .. } | Self::HasDependents { .. } => ErrorClass::Busy,
            Self::Other { source, .. } => source.kind(),
        }
    }
}

impl Classified for CloneError {
    fn kind(&self) -> ErrorClass {
        match self {
            Self::Missing { .. } => ErrorClass::Permanent,
            Self::Foreign { .. } => ErrorClass::Operator,
            Self::Other { source, .. } => source.kind(),
        }
    }
}

impl Classified for SendError {
    fn kind(&self) -> ErrorClass {
        match self {
            Self::Missing { .. } | Self::Stale { .. } => ErrorClass::Permanent,
            Self::Other { source, .. } => source.kind(),
        }
    }
}

impl Classified for ReceiveError {
    fn kind(&self) -> ErrorClass {
        match self {
            Self::WrongBase { .. }
            | Self::Exists { .. }
            | Self::Corrupt { .. }
            | Self::WrongResult { .. } => ErrorClass::Permanent,
            Self::Truncated { .. } | Self::Source { .. } => ErrorClass::Transient,
            Self::Busy { .. } => ErrorClass::Busy,
            Self::Modified { .. }
            | Self::Foreign { .. }
            | Self::NoParent { .. }
            | Self::NoSpace { .. }
            | Self::Quota { .. }
            | Self::PartialState { .. } => ErrorClass::Operator,
            Self::Other { source, .. } => source.kind(),
        }
    }
}
