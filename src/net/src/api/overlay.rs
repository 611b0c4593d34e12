//! Overlays on a node.

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
    pub path: PathBuf,
}

/// Names an overlay to remove.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OverlayQuery {
    /// Absolute path of the overlay.
    pub path: PathBuf,
}

/// An overlay the agent knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverlayView {
    /// The overlay's file.
    pub path: PathBuf,
    /// The image it boots.
    pub image: ImageName,
    /// The snapshot whose view it chains onto.
    pub snapshot: SnapshotName,
    /// The boot cache it chains onto.
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
}
