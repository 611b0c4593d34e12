//! The log of a volume: its snapshots, and the delta files between them.

use bootstash_base::names::{Guid, SnapshotName};
use bootstash_zfs::Snapshot;
use serde::{Deserialize, Serialize};

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
