//! Which nodes are no longer waited for, and when a session is over.

use super::{Sender, SenderEvent};
use crate::members::Demotion;
use bootstash_base::names::NodeName;
use std::time::{Duration, Instant};

/// After the last symbol; nodes that still lack something then continue by unicast.
const COMPLETION_TIMEOUT: Duration = Duration::from_secs(10);
/// If more than this fraction of nodes are outliers, the cause is not theirs.
const MANY: f64 = 0.3;
/// For how long heartbeats continue after the end: nodes that were sent to unicast report once more, and are told.
const LINGER: Duration = Duration::from_secs(1);

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Symbols are sent, or may be.
    Sending,
    /// Heartbeats alone are.
    Lingering {
        since: Instant,
    },
    Finished,
}

impl Sender {
    pub(super) fn demote(&mut self, node: &NodeName, why: Demotion) {
        if self.members.demote(node, why) {
            self.events.push_back(SenderEvent::Demoted { node: node.clone(), why });
        }
    }

    pub(super) fn demote_all(&mut self, nodes: &[NodeName], why: Demotion) {
        nodes.iter().for_each(|node| self.demote(node, why));
    }

    /// Where many are outliers: first halves the rate, then gives up.
    pub(super) fn judge_outliers(&mut self, now: Instant) {
        let outliers = self.members.outliers;
        let all = outliers + self.members.active().count();
        if outliers as f64 <= all as f64 * MANY {
            return;
        }
        self.members.outliers = 0;
        if self.members.active().next().is_some() && self.pacer.halve_once() {
            return;
        }
        self.give_up(now);
    }

    /// All nodes continue by unicast.
    pub(super) fn give_up(&mut self, now: Instant) {
        self.demote_all(&self.members.names(|member| !member.done), Demotion::GaveUp);
        self.events.push_back(SenderEvent::GaveUp);
        self.end(now);
    }

    /// Whether no more symbols go out.
    pub(super) fn is_ending(&self) -> bool {
        self.phase != Phase::Sending
    }

    pub(super) fn finish_if_over(&mut self, now: Instant) {
        if let Phase::Lingering { since } = self.phase {
            if now >= since + LINGER || !self.members.awaits_final_report(since) {
                self.finish();
            }
            return;
        }
        let unsatisfied = self.members.names(|member| !member.satisfied);
        if self.schedule.idle_since().is_some_and(|since| now >= since + COMPLETION_TIMEOUT) {
            self.demote_all(&unsatisfied, Demotion::Stalled);
            self.end(now);
        } else if unsatisfied.is_empty() {
            self.finish();
        }
    }

    /// Heartbeats alone from now on. They announce all blocks as sent: nodes that fetch what was sent do not wait for more.
    fn end(&mut self, now: Instant) {
        self.heartbeats.announce_sent(self.schedule.layout().blocks());
        self.phase = Phase::Lingering { since: now };
        self.pacer.clear();
        self.keys.cancel_rotation();
    }

    fn finish(&mut self) {
        self.keys.cancel_rotation();
        self.phase = Phase::Finished;
        self.events.push_back(SenderEvent::Finished);
    }
}
