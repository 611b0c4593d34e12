//! What `systemctl status` shows of this agent.

use crate::volume::VolumeState;
use bootstash_net::api::AgentState;

/// How it goes, in a line.
pub(crate) fn line(following: &AgentState, volume: &VolumeState) -> String {
    let at = volume.head().map_or("nothing yet".to_owned(), |head| head.name.to_string());
    let views = match volume.views.len() {
        1 => "1 view".to_owned(),
        views => format!("{views} views"),
    };
    match following {
        AgentState::Starting => format!("has {at}, {views}; comparing with the registrar"),
        AgentState::Waiting { error } => {
            format!("has {at}, {views}; waiting for the registrar: {error}")
        }
        AgentState::InStep => format!("in step at {at}, {views}"),
        AgentState::Applying { to, .. } => format!("has {at}, {views}; applying {to}"),
        AgentState::Stopped { error } => format!("has {at}, {views}; stopped: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bootstash_base::names::{Guid, SnapshotName};
    use bootstash_zfs::Snapshot;

    #[test]
    fn tells_where_it_is_and_what_it_waits_for() {
        let name = SnapshotName::new(42, chrono::DateTime::UNIX_EPOCH);
        let mut volume = VolumeState::default();
        assert_eq!(
            line(&AgentState::Starting, &volume),
            "has nothing yet, 0 views; comparing with the registrar"
        );
        volume.snapshots =
            vec![Snapshot { name: name.clone(), guid: Guid::new(7), created: chrono::DateTime::UNIX_EPOCH }];
        volume.views = vec![name.clone()];
        assert_eq!(line(&AgentState::InStep, &volume), format!("in step at {name}, 1 view"));
        let stopped = AgentState::Stopped { error: "the pool is full".to_owned() };
        assert!(line(&stopped, &volume).ends_with("1 view; stopped: the pool is full"));
    }
}
