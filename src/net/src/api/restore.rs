//! Bringing a registrar's lost volume back from a node.

use bootstash_base::names::SnapshotName;
use serde::{Deserialize, Serialize};

/// Asks for the volume to be brought back. While it is, a `GET` of the same route gives a
/// [`super::Transfer`], and nothing else under way `null`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RestoreRequest {
    /// A node that the registrar heard of, or the URL where one serves others: `https://host:port`.
    pub from: String,
}

/// What bringing the volume back did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreReply {
    /// False where the volume was at the node's newest snapshot already.
    pub restored: bool,
    /// The URL it came from.
    pub from: String,
    /// The newest snapshot, the node's and now the registrar's.
    pub snapshot: SnapshotName,
    /// How many images it holds.
    pub images: u64,
}
