//! How fast to send: up to a configured cap; below it slowly up while all is well, quickly down where many
//! lose.
//!
//! The 90th percentile of what nodes lose decides, not the worst of them: that one goes to unicast.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

/// Not twice for one congestion: what a decrease does is seen only a report later.
const BETWEEN_DECREASES: Duration = Duration::from_millis(400);
const DECREASE_ABOVE: f64 = 0.02;
const INCREASE_BELOW: f64 = 0.005;

/// Between what and what the rate moves, in bytes a second with all headers.
#[derive(Clone, Copy, Debug)]
pub struct RateLimits {
    cap: f64,
    floor: f64,
}

impl RateLimits {
    /// Up to this rate, and down to a twentieth of it.
    pub fn up_to(bytes_per_second: NonZeroU64) -> Self {
        let cap = bytes_per_second.get() as f64;
        Self { cap, floor: cap / 20.0 }
    }

    /// This rate always, whatever is lost.
    pub fn fixed(bytes_per_second: NonZeroU64) -> Self {
        let cap = bytes_per_second.get() as f64;
        Self { cap, floor: cap }
    }
}

/// The rate as it is.
#[derive(Debug)]
pub(super) struct Rate {
    limits: RateLimits,
    bytes_per_second: f64,
    decreased: Option<Instant>,
}

impl Rate {
    pub(super) fn new(limits: RateLimits) -> Self {
        Self { limits, bytes_per_second: limits.cap, decreased: None }
    }

    pub(super) fn bytes_per_second(&self) -> f64 {
        self.bytes_per_second
    }

    /// What the nodes lost lately, each from 0 to 1.
    pub(super) fn judge(&mut self, now: Instant, losses: &mut [f64]) {
        let Some(loss) = percentile(losses, 0.9) else { return };
        let again = self.decreased.is_none_or(|at| now >= at + BETWEEN_DECREASES);
        if loss > DECREASE_ABOVE && again {
            self.decreased = Some(now);
            self.set(self.bytes_per_second * 0.7);
        } else if loss < INCREASE_BELOW {
            self.set(self.bytes_per_second + self.limits.cap * 0.05);
        }
    }

    pub(super) fn limit(&mut self, limits: RateLimits) {
        self.limits = limits;
        self.set(self.bytes_per_second);
    }

    /// Half of it.
    pub(super) fn halve(&mut self) {
        self.set(self.bytes_per_second / 2.0);
    }

    fn set(&mut self, bytes_per_second: f64) {
        self.bytes_per_second = bytes_per_second.clamp(self.limits.floor, self.limits.cap);
    }
}

/// The value that this part of all is at or below; none of none.
pub(super) fn percentile(values: &mut [f64], part: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    values.get((last as f64 * part).round() as usize).copied()
}
