//! The state of a daemon and its volume.

use super::{ChangedBase, IdentityConflict};
use bootstash_base::names::{DatasetName, NodeName, SnapshotName};
use bootstash_zfs::{Flavor, Unanswered, Usage};
use serde::{Deserialize, Serialize};

/// The answer of a daemon that answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alive {}

/// The registrar's state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegistrarStatus {
    /// Its version.
    pub version: String,
    /// Which ZFS it has.
    pub zfs: Flavor,
    /// How many images are registered.
    pub images: u64,
    /// The newest snapshot.
    pub snapshot: Option<SnapshotName>,
    /// How many snapshots there are.
    pub snapshots: u64,
    /// Bytes of all delta files.
    pub delta_bytes: u64,
    /// Space; none where ZFS does not tell.
    pub usage: Option<Usage>,
    /// What ZFS keeps waiting for too long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zfs_unanswered: Option<Unanswered>,
    /// Registrations under way.
    pub jobs: u64,
}

/// What an agent is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum AgentState {
    /// It has not compared itself with the registrar yet.
    Starting,
    /// The registrar does not answer.
    Waiting {
        /// What the last try met.
        error: String,
    },
    /// It has the registrar's newest snapshot.
    InStep,
    /// It fetches or applies.
    Applying {
        /// The snapshot it goes to.
        to: SnapshotName,
        /// How far it is, where that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transfer: Option<Transfer>,
    },
    /// It cannot go on unaided.
    Stopped {
        /// What a person must mend.
        error: String,
    },
}

/// A volume that a full stream replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplacedVolume {
    /// The file system.
    pub dataset: DatasetName,
    /// Its newest snapshot.
    pub snapshot: Option<SnapshotName>,
    /// Why the agent does not drop it by itself: the registrar knows nothing of it.
    pub unknown: Option<String>,
}

/// A view that no overlay needs, or that another one took the place of, and that is in use all the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldView {
    /// The file system.
    pub dataset: DatasetName,
    /// Who holds it, as far as that was found out; a few of many.
    pub holders: Vec<Holder>,
}

/// A process that holds a mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its number.
    pub pid: u32,
    /// Its name, as `ps` shows it.
    pub command: String,
    /// By what it holds it.
    pub by: HeldBy,
}

/// By what a process holds a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeldBy {
    /// It is mounted in the process's own mount namespace.
    MountNamespace,
    /// A file of it is open.
    OpenFile,
    /// Its working directory is there.
    WorkingDirectory,
    /// Its root directory is there.
    Root,
    /// The program itself is there.
    Program,
}

/// How far a stream has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// Bytes received, decoded.
    pub bytes: u64,
    /// About how many there are; of the rest of a stream that was cut it is not known.
    pub total_bytes: Option<u64>,
}

/// An agent's state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentStatus {
    /// Its version.
    pub version: String,
    /// The node, by its name.
    pub node: NodeName,
    /// The registrar it follows.
    pub registrar: String,
    /// What it is doing.
    pub state: AgentState,
    /// Volumes that were replaced by a full stream and are still there.
    #[serde(default)]
    pub replaced: Vec<ReplacedVolume>,
    /// Which ZFS it has.
    pub zfs: Flavor,
    /// How many images there are in the newest snapshot whose images were read.
    pub images: u64,
    /// That snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images_of: Option<SnapshotName>,
    /// Its newest snapshot.
    pub snapshot: Option<SnapshotName>,
    /// How many snapshots it has.
    pub snapshots: u64,
    /// How many overlays it knows.
    pub overlays: u64,
    /// Bases that changed after overlays were made of them.
    #[serde(default)]
    pub changed_bases: Vec<ChangedBase>,
    /// Views mounted.
    pub views: u64,
    /// Views that are in use though no overlay needs them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<HeldView>,
    /// Space; none before the first snapshot came, and where ZFS does not tell.
    pub usage: Option<Usage>,
    /// What ZFS keeps waiting for too long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zfs_unanswered: Option<Unanswered>,
    /// Other hosts use this node's identity, too, as the registrar says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_conflict: Option<IdentityConflict>,
    /// Resident memory of the agent, in bytes.
    pub rss_bytes: u64,
}
