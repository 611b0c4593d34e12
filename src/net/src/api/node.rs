//! Between registrar and agents.

use super::{HostId, IdentityConflict, PeerAdvertisement};
use crate::identity::Serial;
use bootstash_base::names::{Guid, NodeName, SnapshotName};
use bootstash_delta::VolumeLog;
use bootstash_multicast::Group;
use bootstash_zfs::Snapshot;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Asks for the log, and to wait while it says nothing new.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LogQuery {
    /// The newest snapshot the node knows of: wait while it is the registrar's newest too.
    pub after: Option<Guid>,
    /// How many certificates the node knows to be expelled: wait while the registrar knows as many.
    #[serde(default)]
    pub expelled: usize,
    /// Wait at most this many seconds (the registrar caps it at 60).
    #[serde(default)]
    pub wait_seconds: u64,
    /// The host that the node runs on, as far as it knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostId>,
}

/// The registrar's log, and what nodes must know besides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogReply {
    /// Snapshots and deltas.
    #[serde(flatten)]
    pub log: VolumeLog,
    /// Certificates that do not count any more, for who serves others.
    #[serde(default)]
    pub expelled: BTreeSet<Serial>,
    /// The group that new deltas are sent to, if they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multicast: Option<Group>,
    /// One delta over all that this node lacks is being made: it is worth asking again before fetching each.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub combining: bool,
    /// Other hosts use the node's identity, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_conflict: Option<IdentityConflict>,
}

/// What a node says of itself, after each change and now and then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeReport {
    /// Its newest snapshot.
    pub head: Option<Snapshot>,
    /// The agent's version.
    pub version: String,
    /// What stopped it last, if it is stopped.
    pub problem: Option<String>,
    /// What it offers other nodes, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<PeerAdvertisement>,
    /// Whether multicast from the registrar reaches it, as far as it knows.
    #[serde(default, rename = "hears")]
    pub multicast_ok: bool,
    /// The host that it runs on, as far as it knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostId>,
}

/// Which nodes to list.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct NodesQuery {
    /// Those that were expelled, too.
    #[serde(default)]
    pub all: bool,
}

/// A node as the registrar knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeView {
    /// The node, by its name.
    pub name: NodeName,
    /// Its newest snapshot, as it reported.
    pub snapshot: Option<SnapshotName>,
    /// How many snapshots it is behind; none where its snapshot is unknown here.
    pub lag: Option<u64>,
    /// When it last spoke.
    pub last_contact: DateTime<Utc>,
    /// The agent's version.
    pub version: Option<String>,
    /// It was not heard of for the window, and no snapshot is kept for it any more.
    #[serde(default)]
    pub expired: bool,
    /// What keeps it from being in step, as it reported.
    pub problem: Option<String>,
    /// When it was expelled, or left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expelled: Option<DateTime<Utc>>,
    /// Several hosts use its identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_conflict: Option<IdentityConflict>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_of_the_version_before_is_read_and_reads_this_one() {
        let before: LogReply = serde_json::from_str(r#"{"snapshots":[],"deltas":[]}"#).unwrap();
        assert_eq!(before, LogReply::default());
        let now = serde_json::to_string(&LogReply::default()).unwrap();
        assert!(!now.contains("combining"), "{now}");
    }
}
