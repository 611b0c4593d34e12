//! Collecting old snapshots.

use crate::names::{NodeName, SnapshotName};
use serde::{Deserialize, Serialize};

/// How to collect.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct GcQuery {
    /// Only say what would go.
    #[serde(default)]
    pub dry_run: bool,
    /// Another window than the configured one, in seconds.
    pub window_seconds: Option<u64>,
}

/// What becomes of one snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotFate {
    /// The snapshot.
    pub name: SnapshotName,
    /// Whether it stays.
    pub keep: bool,
    /// Why.
    pub reason: String,
}

/// What collecting did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GcReport {
    /// Nothing was changed.
    pub dry_run: bool,
    /// Each snapshot, oldest first.
    pub snapshots: Vec<SnapshotFate>,
    /// Delta files that went, or would.
    pub deltas_removed: Vec<String>,
    /// Nodes that were not heard of for the window: nothing is kept for them.
    #[serde(default)]
    pub expired_nodes: Vec<NodeName>,
    /// Views nobody used that went, or would.
    pub views_removed: Vec<SnapshotName>,
}
