//! What a sender says of itself, for metrics; and the rate that it is held to.

use super::Sender;
use crate::rate::RateLimits;
use std::time::Instant;

impl Sender {
    /// Other limits of the rate from now on: several sessions may share one cap. The rate stays the same part of it.
    pub fn limit(&mut self, now: Instant, limits: RateLimits) {
        self.pacer.limit(now, limits);
    }

    /// The rate as it is now, with all headers.
    pub fn bytes_per_second(&self) -> f64 {
        self.pacer.rate().bytes_per_second()
    }

    /// The 90th percentile of what nodes lost, from 0 to 1, when the rate was judged last.
    pub fn loss(&self) -> Option<f64> {
        self.pacer.rate().loss()
    }

    /// Of that, what is lost at any rate.
    pub fn path_loss(&self) -> f64 {
        self.pacer.rate().path_loss()
    }

    /// Source symbols that went out.
    pub fn source_symbols_sent(&self) -> u64 {
        self.schedule.sent() - self.schedule.repair_sent()
    }

    /// Repair symbols that went out.
    pub fn repair_symbols_sent(&self) -> u64 {
        self.schedule.repair_sent()
    }

    /// Nodes that are waited for.
    pub fn active_nodes(&self) -> usize {
        self.members.active().count()
    }

    /// Nodes that were sent to unicast.
    pub fn demoted_nodes(&self) -> usize {
        self.members.count() - self.active_nodes()
    }

    /// Whether every source symbol was sent.
    pub fn is_source_out(&self) -> bool {
        self.schedule.is_source_out()
    }
}
