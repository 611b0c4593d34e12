//! Collecting old snapshots.

use bootstash_base::names::{ImageName, NodeName, SnapshotName};
use bootstash_delta::retention::SnapshotFate;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How to collect.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct GcQuery {
    /// Only say what would go.
    #[serde(default)]
    pub dry_run: bool,
    /// Another window than the configured one, in seconds.
    pub window_seconds: Option<u64>,
}

/// What becomes of a view that no overlay is known to chain onto.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewFate {
    /// Its snapshot.
    pub snapshot: SnapshotName,
    /// Whether it stays.
    pub keep: bool,
    /// What makes it kept or removed, for a person.
    pub reason: String,
}

/// An overlay whose record went, and with it the claim on a view. Its file is not touched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleasedOverlay {
    /// The overlay's file.
    #[serde(with = "bootstash_base::quoted_path")]
    pub path: PathBuf,
    /// The image it booted.
    pub image: ImageName,
    /// The snapshot whose view it held.
    pub snapshot: SnapshotName,
    /// Why its record went, for a person.
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
    /// Each view that no overlay is known to chain onto.
    #[serde(default)]
    pub views: Vec<ViewFate>,
    /// Overlays that were let go, or would be.
    #[serde(default)]
    pub overlays_released: Vec<ReleasedOverlay>,
}
