//! A full stream straight from ZFS into ZFS, where both ends can go on after a cut.

use serde::{Deserialize, Serialize};

/// Response header: the name of the snapshot that the stream leads to.
pub const SNAPSHOT_HEADER: &str = "bootstash-snapshot";
/// Response header: its GUID.
pub const GUID_HEADER: &str = "bootstash-guid";
/// Response header: about how many bytes the stream has, decoded.
pub const SIZE_HEADER: &str = "bootstash-size";

/// Asks for a stream.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct StreamQuery {
    /// The token of a receive that was cut, to have the rest of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<String>,
}
