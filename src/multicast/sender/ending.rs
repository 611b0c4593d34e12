//! Who is no longer waited for, and when it is over.

use super::{Sender, SenderEvent};
use crate::multicast::members::Demotion;
use crate::names::NodeName;
use std::time::{Duration, Instant};

/// After the last symbol; then whoever still lacks something goes on by unicast.
const LINGER: Duration = Duration::from_secs(10);
/// A larger part of nodes that lose too much is no longer their fault.
const MANY: f64 = 0.3;

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
    pub(super) fn judge_outliers(&mut self) {
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
        self.give_up();
    }

    /// All go on by unicast.
    pub(super) fn give_up(&mut self) {
        self.demote_all(&self.members.names(|_| true), Demotion::GaveUp);
        self.events.push_back(SenderEvent::GaveUp);
        self.finish();
    }

    pub(super) fn finish_if_over(&mut self, now: Instant) {
        if self.finished {
            return;
        }
        let unsatisfied = self.members.names(|member| !member.satisfied);
        let lingered = self.is_source_out() && self.due.is_empty() && now >= self.last_symbol_at + LINGER;
        if lingered {
            self.demote_all(&unsatisfied, Demotion::Stalled);
        }
        if lingered || unsatisfied.is_empty() {
            self.finish();
        }
    }

    fn finish(&mut self) {
        self.finished = true;
        self.events.push_back(SenderEvent::Finished);
    }
}
