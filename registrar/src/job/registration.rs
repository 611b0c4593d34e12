//! What the newest registration of a name has come to. Pure.

use super::{JobRecord, JobState};
use bootstash_base::names::SnapshotName;

/// What the newest registration of a name has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Registration {
    /// It is under way.
    UnderWay,
    /// The image is in this snapshot for the first time.
    Published(SnapshotName),
    /// It came to nothing.
    Failed,
}

impl Registration {
    pub(super) fn of(record: &JobRecord) -> Self {
        match &record.state {
            JobState::Published { snapshot, .. } => Self::Published(snapshot.clone()),
            state if state.next_step().is_some() => Self::UnderWay,
            _ => Self::Failed,
        }
    }

    /// Whether it goes on.
    pub fn is_under_way(&self) -> bool {
        *self == Self::UnderWay
    }

    /// The snapshot it ended in.
    pub fn snapshot(&self) -> Option<&SnapshotName> {
        match self {
            Self::Published(snapshot) => Some(snapshot),
            Self::UnderWay | Self::Failed => None,
        }
    }
}
