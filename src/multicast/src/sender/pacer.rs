//! When a symbol may be sent: a token bucket, filled at the rate that losses allow.

use crate::rate::{Rate, RateLimits};
use crate::token_bucket::TokenBucket;
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct Pacer {
    rate: Rate,
    bucket: TokenBucket,
    /// A symbol waits for tokens until then.
    ready_at: Option<Instant>,
    interval: Duration,
    judge_at: Instant,
    /// The rate was halved once because many lost too much.
    halved: bool,
}

impl Pacer {
    /// Judges losses once in an interval.
    pub(super) fn new(limits: RateLimits, interval: Duration, now: Instant) -> Self {
        let rate = Rate::new(limits);
        let bucket = TokenBucket::new(rate.bytes_per_second(), now);
        Self { rate, bucket, ready_at: None, interval, judge_at: now + interval, halved: false }
    }

    pub(super) fn rate(&self) -> &Rate {
        &self.rate
    }

    pub(super) fn limit(&mut self, now: Instant, limits: RateLimits) {
        self.rate.limit(limits);
        self.refill(now);
    }

    pub(super) fn is_judgement_due(&self, now: Instant) -> bool {
        now >= self.judge_at
    }

    /// Adjusts the rate to what nodes lost lately; it applies from the next [`Self::refill`] on.
    pub(super) fn judge(&mut self, now: Instant, losses: &mut [f64]) {
        self.judge_at = now + self.interval;
        self.rate.judge(now, losses);
    }

    /// Halves the rate, unless it was halved before; whether it did.
    pub(super) fn halve_once(&mut self) -> bool {
        let first = !std::mem::replace(&mut self.halved, true);
        if first {
            self.rate.halve();
        }
        first
    }

    /// Fills the bucket at the rate as it is from now on.
    pub(super) fn refill(&mut self, now: Instant) {
        self.bucket.set_rate(self.rate.bytes_per_second(), now);
    }

    /// Whether this many bytes may go out now; if not, [`Self::poll_timeout`] says when.
    pub(super) fn take(&mut self, now: Instant, bytes: usize) -> bool {
        self.ready_at = self.bucket.take(now, bytes).err();
        self.ready_at.is_none()
    }

    /// No symbol waits.
    pub(super) fn clear(&mut self) {
        self.ready_at = None;
    }

    /// When to judge, or to send the symbol that waits.
    pub(super) fn poll_timeout(&self) -> Instant {
        self.ready_at.map_or(self.judge_at, |at| at.min(self.judge_at))
    }
}
