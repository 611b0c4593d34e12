//! Where the follower is between two rounds: one state, and one function that leads from state to state.
//!
//! Promises: whatever is left to be done before the node counts as in step is in the state, through all failures;
//! a download begins after a random delay where other nodes may have come back at the same moment, and only there.

/// What is left to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Unfinished {
    /// The volume has a newer snapshot than the images that were read of it.
    pub(super) stale_catalog: bool,
    /// Why a whole volume is being received beside the one that is here.
    pub(super) resync: Option<String>,
}

/// How a node stands to its registrar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing was heard of the registrar since this agent started with a volume, or since the registrar could not be
    /// reached: other nodes may come back at the same moment.
    Returning(Unfinished),
    /// Comparing, fetching and applying; or waiting to try again.
    CatchingUp(Unfinished),
    /// Everything of the newest snapshot the registrar announced is here, and no file is left of fetching it.
    InStep,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The registrar answered with its log, and this node waited for its turn where it had to.
    LogReceived,
    /// The volume begins to be received anew, for this reason.
    ResyncStarted(String),
    /// The volume has a newer snapshot.
    Applied,
    /// The images of the newest snapshot were read.
    CatalogRead,
    /// A round failed. Where the registrar cannot be reached, all its nodes wait for it.
    Failed {
        /// Whether the registrar cannot be reached.
        unreachable: bool,
    },
    /// All that was announced is here.
    CameInStep,
}

impl Stage {
    /// After a power cut every node with a volume is in the same place; one that is new is alone.
    pub(super) fn at_start(has_volume: bool) -> Self {
        let nothing = Unfinished::default();
        if has_volume { Self::Returning(nothing) } else { Self::CatchingUp(nothing) }
    }

    /// The state after `event`.
    pub(super) fn after(self, event: Event) -> Self {
        match (self, event) {
            (Self::InStep, Event::LogReceived | Event::CatalogRead | Event::CameInStep) => Self::InStep,
            (Self::Returning(left) | Self::CatchingUp(left), Event::LogReceived) => Self::CatchingUp(left),
            (Self::Returning(left), Event::Failed { .. }) => Self::Returning(left),
            (_, Event::CameInStep) => Self::InStep,
            (stage, Event::Failed { unreachable: true }) => Self::Returning(stage.into_unfinished()),
            (stage, Event::Failed { unreachable: false }) => Self::CatchingUp(stage.into_unfinished()),
            (stage, Event::Applied) => {
                Self::CatchingUp(Unfinished { stale_catalog: true, ..stage.into_unfinished() })
            }
            (stage, Event::ResyncStarted(reason)) => {
                Self::CatchingUp(Unfinished { resync: Some(reason), ..stage.into_unfinished() })
            }
            (stage, Event::CatalogRead) => {
                Self::CatchingUp(Unfinished { stale_catalog: false, ..stage.into_unfinished() })
            }
        }
    }

    /// Whether a download is to begin after a random delay.
    pub(super) fn wants_jitter(&self) -> bool {
        matches!(self, Self::Returning(_))
    }

    /// What is left to be done.
    pub(super) fn unfinished(&self) -> Option<&Unfinished> {
        match self {
            Self::Returning(left) | Self::CatchingUp(left) => Some(left),
            Self::InStep => None,
        }
    }

    /// Whether the images have to be read anew.
    pub(super) fn has_stale_catalog(&self) -> bool {
        self.unfinished().is_some_and(|left| left.stale_catalog)
    }

    /// Whether the volume is being received anew for this very reason.
    pub(super) fn resyncs_for(&self, reason: &str) -> bool {
        self.unfinished().is_some_and(|left| left.resync.as_deref() == Some(reason))
    }

    fn into_unfinished(self) -> Unfinished {
        match self {
            Self::Returning(left) | Self::CatchingUp(left) => left,
            Self::InStep => Unfinished::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(stale_catalog: bool, resync: Option<&str>) -> Unfinished {
        Unfinished { stale_catalog, resync: resync.map(str::to_owned) }
    }

    fn all_unfinished() -> impl Iterator<Item = Unfinished> {
        [false, true].into_iter().flat_map(|stale| [None, Some("old")].map(|resync| left(stale, resync)))
    }

    fn all_stages() -> Vec<Stage> {
        let behind =
            all_unfinished().flat_map(|left| [Stage::Returning(left.clone()), Stage::CatchingUp(left)]);
        behind.chain([Stage::InStep]).collect()
    }

    /// The whole table: each state, and what follows each event.
    #[test]
    fn every_event_in_every_state() {
        use Stage::{CatchingUp, InStep, Returning};
        for was in all_unfinished() {
            for (stage, failed) in [
                (Returning(was.clone()), Returning(was.clone())),
                (CatchingUp(was.clone()), CatchingUp(was.clone())),
            ] {
                let stale = |stale_catalog| CatchingUp(Unfinished { stale_catalog, ..was.clone() });
                let resync = CatchingUp(Unfinished { resync: Some("new".to_owned()), ..was.clone() });
                for (event, expected) in [
                    (Event::LogReceived, CatchingUp(was.clone())),
                    (Event::ResyncStarted("new".to_owned()), resync),
                    (Event::Applied, stale(true)),
                    (Event::CatalogRead, stale(false)),
                    (Event::Failed { unreachable: true }, Returning(was.clone())),
                    (Event::Failed { unreachable: false }, failed),
                    (Event::CameInStep, InStep),
                ] {
                    assert_eq!(stage.clone().after(event.clone()), expected, "{stage:?} {event:?}");
                }
            }
        }
        for (event, expected) in [
            (Event::LogReceived, InStep),
            (Event::ResyncStarted("new".to_owned()), CatchingUp(left(false, Some("new")))),
            (Event::Applied, CatchingUp(left(true, None))),
            (Event::CatalogRead, InStep),
            (Event::Failed { unreachable: true }, Returning(left(false, None))),
            (Event::Failed { unreachable: false }, CatchingUp(left(false, None))),
            (Event::CameInStep, InStep),
        ] {
            assert_eq!(InStep.after(event.clone()), expected, "{event:?}");
        }
    }

    #[test]
    fn no_failure_forgets_what_is_left_to_be_done() {
        for stage in all_stages() {
            for unreachable in [false, true] {
                let failed = stage.clone().after(Event::Failed { unreachable });
                let before = stage.unfinished().cloned().unwrap_or_default();
                assert_eq!(failed.unfinished(), Some(&before), "{stage:?}");
            }
        }
    }

    #[test]
    fn a_node_delays_once_after_it_may_have_come_back_with_others() {
        assert!(Stage::at_start(true).wants_jitter() && !Stage::at_start(false).wants_jitter());
        for stage in all_stages() {
            let away = stage.clone().after(Event::Failed { unreachable: true });
            // Whatever else fails before the registrar answers.
            assert!(away.clone().after(Event::Failed { unreachable: false }).wants_jitter());
            assert!(!away.after(Event::LogReceived).wants_jitter(), "{stage:?}");
        }
    }

    #[test]
    fn what_is_asked_of_a_state() {
        let resyncing = Stage::CatchingUp(left(true, Some("old")));
        assert!(
            resyncing.has_stale_catalog() && resyncing.resyncs_for("old") && !resyncing.resyncs_for("new")
        );
        assert!(!Stage::InStep.has_stale_catalog() && !Stage::InStep.resyncs_for("old"));
    }
}
