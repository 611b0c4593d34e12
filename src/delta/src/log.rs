//! The log of a volume: its snapshots, and the delta files between them.

use bootstash_base::names::{Guid, SnapshotName};
use bootstash_zfs::Snapshot;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// A delta as a file on the registrar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeltaRecord {
    /// Its file name, as every store of deltas knows it.
    pub file: String,
    /// The snapshot it starts from; none for a full stream.
    pub from: Option<Guid>,
    /// The snapshot it leads to.
    pub to: Guid,
    /// That snapshot's name.
    pub to_name: SnapshotName,
    /// Size of the file, in bytes.
    pub bytes: u64,
    /// BLAKE3 of the file's header block, in hex; the header holds the payload's digest.
    pub digest: String,
}

impl VolumeLog {
    /// As much of it as a node needs whose newest snapshot is `head`: that snapshot and what came after it. All of
    /// it where that snapshot is not in it.
    #[must_use]
    pub fn since(&self, head: Option<Guid>) -> Self {
        let at = head.and_then(|head| self.snapshots.iter().position(|snapshot| snapshot.guid == head));
        let Some(at) = at else { return self.clone() };
        let snapshots = self.snapshots[at..].to_vec();
        let known: HashSet<Guid> = snapshots.iter().map(|snapshot| snapshot.guid).collect();
        let leads_on = |delta: &&DeltaRecord| {
            known.contains(&delta.to) && delta.from.is_some_and(|from| known.contains(&from))
        };
        let deltas = self.deltas.iter().filter(leads_on).cloned().collect();
        Self { snapshots, deltas, collected: Vec::new() }
    }
}

/// The registrar's snapshots and the deltas between them, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeLog {
    /// Snapshots; the last is the newest.
    pub snapshots: Vec<Snapshot>,
    /// Deltas that can be had.
    pub deltas: Vec<DeltaRecord>,
    /// GUIDs of snapshots that were collected, as far as they are remembered.
    #[serde(default)]
    pub collected: Vec<Guid>,
}
