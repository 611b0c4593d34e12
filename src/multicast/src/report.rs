//! What a node and the sender say to each other over the control channel.

use super::session::{Announcement, SessionId};
use bootstash_base::names::NodeName;
use serde::{Deserialize, Serialize};

/// The most in one report; the oldest come first.
pub(super) const DEFICITS_MAX: usize = 64;

/// What a node lacks, as of the last heartbeat it received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Of which session: the one it received from last.
    pub session: SessionId,
    /// The one that it got the key of, and received nothing of yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_session: Option<SessionId>,
    /// What the node is doing.
    #[serde(rename = "standing")]
    pub status: ReceiverStatus,
    /// The last heartbeat received: the report does not cover what was sent after it.
    #[serde(rename = "beat")]
    pub heartbeat: Option<u32>,
    /// Symbols that were sent between the heartbeats of the last report and of this one.
    pub expected: u64,
    /// Of these, received.
    #[serde(rename = "heard")]
    pub received: u64,
    /// Blocks that are not whole, oldest first, at most 64.
    pub deficits: Vec<Deficit>,
}

/// What a receiver is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReceiverStatus {
    /// It listens.
    Listening,
    /// It received blocks that are not as announced, from somebody who has the key; it waits for another key.
    #[serde(rename = "alarmed")]
    AwaitingKey,
    /// No heartbeat came in time: it continues by unicast.
    #[serde(rename = "unheard")]
    HeartbeatTimeout,
    /// It received such bytes, got no other key in time, and continues by unicast.
    #[serde(rename = "poisoned")]
    KeyCompromised,
    /// It has the whole object.
    Done,
}

/// A block that is not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deficit {
    /// Which block.
    pub block: u32,
    /// Symbols that it lacks.
    pub missing: u16,
    /// One more than the highest repair symbol of it that came.
    pub repair_seen: u16,
}

/// What the sender tells a node to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Instruction {
    /// Fetch what these blocks lack; no more repair comes for them.
    Fetch(Vec<u32>),
    /// Fetch what any block lacks once the sender has passed it; go on listening.
    FetchAll,
    /// Listen for this session too; once a datagram of it comes, for it alone.
    Rekey(Box<Announcement>),
}

/// A report is refused. Nothing of it counts.
#[derive(Debug, thiserror::Error, bootstash_base::error::Classified)]
#[class(permanent)]
pub enum ReportError {
    /// No such node takes part.
    #[error(
        "node {node} reports on multicast session {session}, in which it takes no part; let it ask for the session again"
    )]
    UnknownNode {
        /// The node that reports.
        node: NodeName,
        /// On what.
        session: SessionId,
    },
    /// On another session.
    #[error(
        "node {node} reports on multicast session {given}, but this is {wanted}; let it ask for the session again"
    )]
    Session {
        /// The node that reports.
        node: NodeName,
        /// As reported.
        given: SessionId,
        /// This one.
        wanted: SessionId,
    },
    /// Too many of them.
    #[error("node {node} reports more often than announced; the report is ignored")]
    #[class(transient)]
    TooOften {
        /// The node that reports.
        node: NodeName,
    },
    /// It is impossible.
    #[error("node {node} sent an impossible report ({what}); check that node")]
    Impossible {
        /// The node that reports.
        node: NodeName,
        /// What in it is.
        what: &'static str,
    },
}
