//! What must be done to bring a node up to date: pure, by GUID, never by name.
//!
//! Promises: a plan to apply deltas starts at the node's newest snapshot, each delta starts where the
//! one before ended, and the last ends at the registrar's newest; of several paths it is the one with the fewest bytes,
//! where each delta counts for more than its bytes. A node that cannot be brought there
//! by deltas is told why: no path of deltas leads there ([`Plan::Full`]), or it and the registrar do not agree on
//! what came before ([`Plan::Diverged`]).

mod combined;
mod delta_path;

pub use combined::{
    COMBINED_BYTES_MAX, COMBINED_MAX, ROW_MAX, expired_combined, has_room_for_combined, wants_combined,
};
pub use delta_path::DeltaPaths;

use crate::{DeltaRecord, VolumeLog};
use bootstash_zfs::Snapshot;
use std::fmt;

/// What a node must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Nothing: it has the newest snapshot.
    UpToDate,
    /// Apply these, in this order.
    Apply(Vec<DeltaRecord>),
    /// Replace the volume by a full stream.
    Full {
        /// Why deltas do not do.
        reason: FullReason,
    },
    /// Nothing that is safe: somebody must decide whose snapshots count.
    Diverged {
        /// What does not agree.
        conflict: Conflict,
    },
}

/// Why a full stream is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FullReason {
    /// The node has no snapshot at all.
    Empty,
    /// The registrar knows, or once had, the node's newest snapshot, but no deltas lead on from it any more.
    TooOld {
        /// The node's newest snapshot.
        head: Snapshot,
    },
}

/// How node and registrar disagree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// The registrar has no snapshot, the node has.
    RegistrarEmpty {
        /// The node's newest snapshot.
        head: Snapshot,
    },
    /// They share a snapshot, and the node has others since, which the registrar does not know.
    Diverged {
        /// The newest snapshot both have.
        common: Snapshot,
        /// The node's newest snapshot.
        head: Snapshot,
        /// The registrar's.
        newest: Snapshot,
    },
    /// They share none, and the registrar remembers none: another volume.
    NoCommonSnapshot {
        /// The node's newest snapshot.
        head: Snapshot,
        /// The registrar's.
        newest: Snapshot,
    },
}

/// The plan for a node with these snapshots, oldest first, under a registrar with this log.
pub fn plan(node: &[Snapshot], log: &VolumeLog) -> Plan {
    match (node.last(), log.snapshots.last()) {
        (None, None) => Plan::UpToDate,
        (None, Some(_)) => Plan::Full { reason: FullReason::Empty },
        (Some(head), None) => Plan::Diverged { conflict: Conflict::RegistrarEmpty { head: head.clone() } },
        (Some(head), Some(newest)) if head.guid == newest.guid => Plan::UpToDate,
        (Some(head), Some(newest)) => match DeltaPaths::to(newest.guid, &log.deltas).from(head.guid) {
            Some(deltas) => Plan::Apply(deltas.into_iter().cloned().collect()),
            None => no_path(node, head, newest, log),
        },
    }
}

fn no_path(node: &[Snapshot], head: &Snapshot, newest: &Snapshot, log: &VolumeLog) -> Plan {
    let known = |snapshot: &&Snapshot| log.snapshots.iter().any(|theirs| theirs.guid == snapshot.guid);
    let (head, newest) = (head.clone(), newest.clone());
    match node.iter().rev().find(known).cloned() {
        Some(common) if common.guid == head.guid => Plan::Full { reason: FullReason::TooOld { head } },
        Some(common) => Plan::Diverged { conflict: Conflict::Diverged { common, head, newest } },
        None if log.collected.contains(&head.guid) => Plan::Full { reason: FullReason::TooOld { head } },
        None => Plan::Diverged { conflict: Conflict::NoCommonSnapshot { head, newest } },
    }
}

impl fmt::Display for FullReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the node has no snapshot yet"),
            Self::TooOld { head } => {
                write!(f, "the registrar keeps no deltas from this node's newest snapshot {}", head.name)
            }
        }
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RegistrarEmpty { head } => {
                write!(f, "this node is at {}, and the registrar's volume has no snapshot at all", head.name)
            }
            Self::Diverged { common, head, newest } => write!(
                f,
                "this node is at {}, which the registrar, at {}, does not know; the newest both have is {}",
                head.name, newest.name, common.name
            ),
            Self::NoCommonSnapshot { head, newest } => write!(
                f,
                "this node is at {}, and the registrar, at {}, knows none of this node's snapshots",
                head.name, newest.name
            ),
        }
    }
}

#[cfg(test)]
mod tests;
