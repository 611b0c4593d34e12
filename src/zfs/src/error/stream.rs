//! How sending and receiving streams fail.

use crate::ZfsFailure;
use bootstash_base::error::Classified;
use bootstash_base::names::{DatasetName, SnapshotName};
use std::io;
use thiserror::Error;

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
    /// ZFS failed in another way.
    #[error("cannot send {of}")]
    #[class(source)]
    Other {
        /// The file system.
        of: DatasetName,
        /// How the call to ZFS failed.
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
        "{into} was modified since its newest snapshot, or a newer one was destroyed; bootstash volumes must not be \
         changed by others. To discard what is in no snapshot of bootstash's and go on: {mend}"
    )]
    #[class(operator)]
    Modified {
        /// The destination.
        into: DatasetName,
        /// The command that brings it back to its newest snapshot.
        mend: String,
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
        source: io::Error,
    },
    /// ZFS failed in another way.
    #[error("cannot receive into {into}")]
    #[class(source)]
    Other {
        /// The destination.
        into: DatasetName,
        /// How the call to ZFS failed.
        source: ZfsFailure,
    },
}
