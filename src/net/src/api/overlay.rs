//! Overlays on a node.

use bootstash_base::file_owner::FileOwner;
use bootstash_base::names::{ImageName, SnapshotName};
use bootstash_disk::firmware::Firmware;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Asks for an overlay.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OverlayRequest {
    /// The image to chain onto.
    pub image: String,
    /// Absolute path of the file to make.
    #[serde(with = "bootstash_base::quoted_path")]
    pub path: PathBuf,
    /// Size of its disk, where that is to be more than the image's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// Who the file is to belong to, where that is not who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<FileOwner>,
}

impl OverlayRequest {
    /// One of the image's size, for who asks.
    pub fn new(image: impl Into<String>, path: PathBuf) -> Self {
        Self { image: image.into(), path, size_bytes: None, owner: None }
    }
}

/// What asking for an overlay did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverlayReply {
    /// The overlay.
    #[serde(flatten)]
    pub overlay: OverlayView,
    /// Whether it was there.
    #[serde(default)]
    pub outcome: OverlayOutcome,
}

/// Whether an overlay that was asked for was there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OverlayOutcome {
    /// It was made.
    #[default]
    Created,
    /// It was there as asked for, and stays as it is.
    Unchanged,
}

/// What pinning a disk did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinReply {
    /// The lowest overlay of the disk's chain, and the boot cache that is held for it.
    #[serde(flatten)]
    pub overlay: OverlayView,
    /// Whether it was held before.
    pub outcome: OverlayOutcome,
    /// Whether the overlay's header names that boot cache; else it is to be chained onto it.
    pub chained: bool,
}

/// Names an overlay to remove.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OverlayQuery {
    /// Absolute path of the overlay.
    #[serde(with = "bootstash_base::quoted_path")]
    pub path: PathBuf,
}

/// What adopting an overlay did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptReply {
    /// The overlay.
    #[serde(flatten)]
    pub overlay: OverlayView,
    /// It was not on record before.
    pub adopted: bool,
    /// Its snapshot is not on the node yet; its boot cache is there once that is.
    pub awaits_snapshot: bool,
}

/// An overlay the agent knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverlayView {
    /// The overlay's file.
    #[serde(with = "bootstash_base::quoted_path")]
    pub path: PathBuf,
    /// The image it boots.
    pub image: ImageName,
    /// The snapshot whose view it chains onto.
    pub snapshot: SnapshotName,
    /// The boot cache it chains onto.
    #[serde(with = "bootstash_base::quoted_path")]
    pub cache: PathBuf,
    /// Size of the disk a guest sees, in bytes.
    pub virtual_size_bytes: u64,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// What boots it; not known of one that was found, or is older than this.
    #[serde(default)]
    pub firmware: Option<Firmware>,
}

/// What an overlay's file is at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OverlayState {
    /// A QEMU has it open.
    Running,
    /// It is there, and no QEMU has it open.
    Stopped,
    /// It is there; whether a QEMU has it open cannot be told, as its storage has no byte-range locks.
    Unknown,
    /// It is gone; once that has lasted, a collection lets go of what it held.
    Missing,
    /// Its storage is not mounted, or does not answer.
    Unreachable,
}

/// An overlay, and what it is at this moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverlayStatus {
    /// The overlay.
    #[serde(flatten)]
    pub overlay: OverlayView,
    /// Its file.
    pub state: OverlayState,
    /// Since when its file is known to be gone.
    pub missing_since: Option<DateTime<Utc>>,
    /// Its boot cache is held for somebody else's disk, until that is unpinned.
    #[serde(default)]
    pub pinned: bool,
    /// The base it reads from; none where nobody has looked at it yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<BaseStatus>,
}

/// The base of an overlay, and what it is at this moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseStatus {
    /// The image's file.
    pub path: PathBuf,
    /// What it is.
    #[serde(flatten)]
    pub state: BaseState,
}

/// Whether a base is still what was registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum BaseState {
    /// It is.
    AsRegistered,
    /// It is not: overlays of it read a mix of the old cache and the new file.
    Changed {
        /// What is different.
        change: String,
    },
    /// Its storage does not answer, or does not let itself be read.
    Unknown,
}

/// A base that changed after overlays were made of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedBase {
    /// The image's file.
    pub path: PathBuf,
    /// The image, by its registered name.
    pub image: ImageName,
    /// The snapshot whose boot cache the overlays have.
    pub snapshot: SnapshotName,
    /// What is different.
    pub change: String,
    /// The overlays.
    #[serde(with = "bootstash_base::quoted_path::list")]
    pub overlays: Vec<PathBuf>,
}
