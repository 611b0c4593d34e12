//! The states of a registration and its one transition function.
//!
//! `submitted → inspected → captured → verified → imported → snapshotted → published`, and from each
//! but the last to `failed` or `cancelled`. A state carries what the next step needs, so that it can be taken up
//! after a restart.

use bootstash_base::error::ErrorClass;
use bootstash_base::names::SnapshotName;
use bootstash_delta::catalog::Manifest;
use bootstash_disk::Source;
use bootstash_net::api::{JobOutcome, Step};
use serde::{Deserialize, Serialize};

/// What a registration has reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum JobState {
    /// Asked for.
    Submitted,
    /// The image was found fit.
    Inspected {
        /// The error that caused it.
        source: Source,
    },
    /// Its cache lies in the job's scratch space.
    Captured {
        /// What will lie beside it.
        manifest: Box<Manifest>,
    },
    /// The cache says what the base says.
    Verified {
        /// What will lie beside it.
        manifest: Box<Manifest>,
    },
    /// The volume's head holds it.
    Imported {
        /// What lies beside it.
        manifest: Box<Manifest>,
    },
    /// A snapshot holds it.
    Snapshotted {
        /// What lies beside it.
        manifest: Box<Manifest>,
        /// That snapshot.
        snapshot: SnapshotName,
    },
    /// The nodes can have it.
    Published {
        /// The snapshot that holds it.
        snapshot: SnapshotName,
        /// Size of the delta that carries it, in bytes.
        delta_bytes: u64,
        /// Size of its cache, in bytes.
        cache_bytes: u64,
        /// Boots on record for its cache.
        boots: u32,
        /// Why its cache is trusted little, where it is; absent from records of before that was kept.
        #[serde(default)]
        doubt: Option<String>,
    },
    /// It failed, and what it left was removed.
    Failed {
        /// The step that failed.
        step: Step,
        /// The error, with its causes.
        error: String,
        /// What may follow.
        kind: ErrorClass,
    },
    /// It was cancelled, and what it left was removed.
    Cancelled {
        /// Where.
        step: Step,
    },
}

/// What a step has achieved.
#[derive(Clone, Debug, PartialEq)]
pub enum StepOutput {
    /// The image is fit.
    Inspected(Source),
    /// The cache is there.
    Captured(Box<Manifest>),
    /// It is right.
    Verified,
    /// It is in the volume.
    Imported,
    /// It is in a snapshot.
    Snapshotted(SnapshotName),
    /// Its delta is announced.
    Published {
        /// Size of the delta.
        delta_bytes: u64,
    },
    /// The step failed.
    Failed {
        /// The error, with its causes.
        error: String,
        /// What may follow.
        kind: ErrorClass,
    },
    /// Somebody wants it no more.
    Cancelled,
}

/// A step reported what its state cannot lead to.
#[derive(Debug, thiserror::Error)]
#[error("a registration cannot go from {from:?} by {by:?}")]
pub struct IllegalTransition {
    from: JobState,
    by: StepOutput,
}

impl JobState {
    /// The step to take next; none at an end.
    pub fn next_step(&self) -> Option<Step> {
        match self {
            Self::Submitted => Some(Step::Inspect),
            Self::Inspected { .. } => Some(Step::Capture),
            Self::Captured { .. } => Some(Step::Verify),
            Self::Verified { .. } => Some(Step::Import),
            Self::Imported { .. } => Some(Step::Snapshot),
            Self::Snapshotted { .. } => Some(Step::Publish),
            Self::Published { .. } | Self::Failed { .. } | Self::Cancelled { .. } => None,
        }
    }

    /// The state that `done` leads to.
    ///
    /// # Errors
    /// When it does not follow from this state.
    pub fn after(self, done: StepOutput) -> Result<Self, IllegalTransition> {
        match (self, done) {
            (Self::Submitted, StepOutput::Inspected(source)) => Ok(Self::Inspected { source }),
            (Self::Inspected { .. }, StepOutput::Captured(manifest)) => Ok(Self::Captured { manifest }),
            (Self::Captured { manifest }, StepOutput::Verified) => Ok(Self::Verified { manifest }),
            (Self::Verified { manifest }, StepOutput::Imported) => Ok(Self::Imported { manifest }),
            (Self::Imported { manifest }, StepOutput::Snapshotted(snapshot)) => {
                Ok(Self::Snapshotted { manifest, snapshot })
            }
            (Self::Snapshotted { manifest, snapshot }, StepOutput::Published { delta_bytes }) => {
                Ok(published(&manifest, snapshot, delta_bytes))
            }
            (from, StepOutput::Failed { error, kind }) => match from.next_step() {
                Some(step) => Ok(Self::Failed { step, error, kind }),
                None => Err(IllegalTransition { from, by: StepOutput::Failed { error, kind } }),
            },
            (from, StepOutput::Cancelled) => match from.next_step() {
                Some(step) => Ok(Self::Cancelled { step }),
                None => Err(IllegalTransition { from, by: StepOutput::Cancelled }),
            },
            (from, by) => Err(IllegalTransition { from, by }),
        }
    }

    /// How many boots are still to be made once it is published; none is known of before its cache is in a snapshot.
    pub fn boots_to_follow(&self) -> u32 {
        match self {
            Self::Snapshotted { manifest, .. } => manifest.boots_to_follow,
            _ => 0,
        }
    }

    /// How it ended; none while it has not.
    pub fn outcome(&self) -> Option<JobOutcome> {
        match self.clone() {
            Self::Published { snapshot, delta_bytes, cache_bytes, boots, doubt } => {
                Some(JobOutcome::Registered { snapshot, delta_bytes, cache_bytes, boots, doubt })
            }
            Self::Failed { step, error, kind } => Some(JobOutcome::Failed { step, error, kind }),
            Self::Cancelled { step } => Some(JobOutcome::Cancelled { step }),
            _ => None,
        }
    }
}

fn published(manifest: &Manifest, snapshot: SnapshotName, delta_bytes: u64) -> JobState {
    JobState::Published {
        snapshot,
        delta_bytes,
        cache_bytes: manifest.cache.bytes,
        boots: u32::try_from(manifest.boots.len()).unwrap_or(u32::MAX),
        doubt: manifest.doubt().map(|doubt| doubt.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::register::testing::{manifest, snapshot_name};

    fn steps_in_order() -> Vec<StepOutput> {
        let manifest = Box::new(manifest("debian"));
        vec![
            StepOutput::Inspected(manifest.source.clone()),
            StepOutput::Captured(manifest),
            StepOutput::Verified,
            StepOutput::Imported,
            StepOutput::Snapshotted(snapshot_name(1)),
            StepOutput::Published { delta_bytes: 5 },
        ]
    }

    fn states() -> Vec<JobState> {
        steps_in_order().into_iter().fold(vec![JobState::Submitted], |mut states, done| {
            let last = states.last().cloned().unwrap();
            states.push(last.after(done).unwrap());
            states
        })
    }

    #[test]
    fn goes_the_steps_in_order_only_in_order() {
        let steps = steps_in_order();
        for (at, state) in states().into_iter().enumerate() {
            for (step, done) in steps.iter().enumerate() {
                assert_eq!(state.clone().after(done.clone()).is_ok(), step == at, "{state:?} by {done:?}");
            }
        }
    }

    #[test]
    fn each_state_but_an_end_can_fail_at_its_own_step() {
        let failure = StepOutput::Failed { error: "why".to_owned(), kind: ErrorClass::Permanent };
        for state in states() {
            match state.next_step() {
                None => assert!(state.outcome().is_some() && state.after(failure.clone()).is_err()),
                Some(next) => match state.after(failure.clone()).unwrap() {
                    JobState::Failed { step, .. } => assert_eq!(step, next),
                    other => panic!("{other:?}"),
                },
            }
        }
    }

    #[test]
    fn an_end_on_record_from_before_doubts_were_kept_is_still_one() {
        let old = r#"{"state":"published","snapshot":"bs-000001-19700101T000000Z","delta_bytes":5,"cache_bytes":6,"boots":2}"#;
        match serde_json::from_str::<JobState>(old).unwrap().outcome() {
            Some(JobOutcome::Registered { boots: 2, doubt: None, .. }) => (),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_state_but_an_end_can_be_cancelled_once() {
        for state in states() {
            let step = state.next_step();
            let cancelled = state.after(StepOutput::Cancelled);
            assert_eq!(
                cancelled.as_ref().ok().and_then(JobState::outcome),
                step.map(|step| JobOutcome::Cancelled { step })
            );
            if let Ok(cancelled) = cancelled {
                assert!(cancelled.after(StepOutput::Cancelled).is_err());
            }
        }
    }

    #[test]
    fn reads_back_every_state() {
        for state in states().into_iter().chain([JobState::Cancelled { step: Step::Capture }]) {
            let json = serde_json::to_string(&state).unwrap();
            assert_eq!(serde_json::from_str::<JobState>(&json).unwrap(), state);
        }
    }
}
