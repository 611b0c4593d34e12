//! What the outcome of a round means: the state to show, the line to log, the time to wait.
//!
//! Logs changes, not each try: a registrar that is gone for a night is two lines.

use super::error::FollowError;
use super::intervals::Intervals;
use bootstash_base::backoff;
use bootstash_base::error::{Chain, Classified, ErrorClass};
use bootstash_net::api::AgentState;
use std::time::Duration;

/// How following goes.
#[derive(Debug)]
pub(super) struct Health {
    intervals: Intervals,
    transient_failures: u32,
    trouble: Option<Trouble>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Trouble {
    /// The registrar does not answer.
    Unreachable,
    /// Something else that may pass, and the text of it.
    Transient(String),
    /// It needs a person.
    Stopped(String),
}

impl Health {
    pub(super) fn new(intervals: Intervals) -> Self {
        Self { intervals, transient_failures: 0, trouble: None }
    }

    /// A round ended in step, or came further.
    pub(super) fn well(&mut self) {
        self.transient_failures = 0;
        match self.trouble.take() {
            Some(Trouble::Unreachable) => tracing::info!("the registrar is back"),
            Some(Trouble::Transient(_) | Trouble::Stopped(_)) => tracing::info!("going on"),
            None => (),
        }
    }

    /// Whether the last round met a registrar that does not answer.
    pub(super) fn registrar_unreachable(&self) -> bool {
        self.trouble == Some(Trouble::Unreachable)
    }

    /// What is wrong, for the registrar; that it is away it cannot be told.
    pub(super) fn problem(&self) -> Option<String> {
        match &self.trouble {
            Some(Trouble::Stopped(text) | Trouble::Transient(text)) => Some(text.clone()),
            Some(Trouble::Unreachable) | None => None,
        }
    }

    /// A round failed: the state to show, and how long to wait.
    pub(super) fn failed(&mut self, error: &FollowError) -> (AgentState, Duration) {
        let text = Chain(error).to_string();
        if let Some(retry_after) = error.retry_after() {
            // It lives and is well; there is nothing to warn of.
            tracing::debug!("waiting for a turn: {text}");
            return (AgentState::Waiting { error: text }, backoff::not_before(retry_after, fastrand::f64()));
        }
        match error.kind() {
            ErrorClass::Permanent | ErrorClass::Operator => {
                self.enter(Trouble::Stopped(text.clone()), &text);
                (AgentState::Stopped { error: text }, self.intervals.stopped_retry)
            }
            ErrorClass::Transient | ErrorClass::Busy | ErrorClass::Cancelled => {
                self.transient_failures = self.transient_failures.saturating_add(1);
                if !matches!(error, FollowError::FullInPreparation) {
                    let trouble = match error.is_unreachable() {
                        true => Trouble::Unreachable,
                        false => Trouble::Transient(text.clone()),
                    };
                    self.enter(trouble, &text);
                }
                let wait = self.intervals.retry.jittered(self.transient_failures, fastrand::f64());
                (AgentState::Waiting { error: text }, wait)
            }
        }
    }

    fn enter(&mut self, trouble: Trouble, text: &str) {
        let still = match (&self.trouble, &trouble) {
            // Its text may count tries, or bytes.
            (Some(Trouble::Transient(_)), Trouble::Transient(_)) => true,
            (before, now) => before.as_ref() == Some(now),
        };
        if still {
            tracing::debug!("still: {text}");
            return;
        }
        match &trouble {
            Trouble::Unreachable => tracing::warn!("lost the registrar, waiting for it: {text}"),
            Trouble::Transient(_) => tracing::warn!("will try again: {text}"),
            Trouble::Stopped(_) => tracing::error!("stopped: {text}"),
        }
        self.trouble = Some(trouble);
    }
}
