//! Who is no longer waited for, and when it is over.

use super::{Sender, SenderEvent};
use crate::members::Demotion;
use bootstash_base::names::NodeName;
use std::time::{Duration, Instant};

/// After the last symbol; then whoever still lacks something goes on by unicast.
const COMPLETION_TIMEOUT: Duration = Duration::from_secs(10);
/// A larger part of nodes that lose too much is no longer their fault.
const MANY: f64 = 0.3;
/// So long heartbeats go on for who was sent to unicast at the end, that its report can be answered so.
const LINGER: Duration = Duration::from_secs(1);

impl Sender {
    pub(super) fn demote(&mut self, node: &NodeName, why: Demotion) {
        if self.members.demote(node, why) {
            self.events.push_back(SenderEvent::Demoted { node: node.clone(), why });
        }
    }

    pub(super) fn demote_all(&mut self, nodes: &[NodeName], why: Demotion) {
        nodes.iter().for_each(|node| self.demote(node, why));
    }

    /// Many that lose too much: first slower, and if that does not help, not at all.
    pub(super) fn judge_outliers(&mut self, now: Instant) {
        let outliers = self.members.outliers;
        let all = outliers + self.members.active().count();
        if outliers as f64 <= all as f64 * MANY {
            return;
        }
        self.members.outliers = 0;
        if !self.halved && self.members.active().next().is_some() {
            self.halved = true;
            self.rate.halve();
            return;
        }
        self.give_up(now);
    }

    /// All go on by unicast.
    pub(super) fn give_up(&mut self, now: Instant) {
        self.demote_all(&self.members.names(|member| !member.done), Demotion::GaveUp);
        self.events.push_back(SenderEvent::GaveUp);
        self.end(now);
    }

    /// Whether no more symbols go out.
    pub(super) fn is_ending(&self) -> bool {
        self.finished || self.ended_at.is_some()
    }

    pub(super) fn finish_if_over(&mut self, now: Instant) {
        if let Some(since) = self.ended_at {
            if now >= since + LINGER || !self.members.awaits_final_report(since) {
                self.finish();
            }
            return;
        }
        let unsatisfied = self.members.names(|member| !member.satisfied);
        let timed_out =
            self.is_source_out() && self.due.is_empty() && now >= self.last_symbol_at + COMPLETION_TIMEOUT;
        if timed_out {
            self.demote_all(&unsatisfied, Demotion::Stalled);
            self.end(now);
        } else if unsatisfied.is_empty() {
            self.finish();
        }
    }

    /// Beats alone from now on. They say that all has passed: who is to fetch what passed does not wait for more.
    fn end(&mut self, now: Instant) {
        self.passed = self.layout.blocks();
        self.ended_at = Some(now);
        self.ready_at = None;
        self.keys.stay();
    }

    fn finish(&mut self) {
        self.keys.stay();
        self.finished = true;
        self.events.push_back(SenderEvent::Finished);
    }
}
