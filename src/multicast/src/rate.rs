//! How fast to send: up to a configured cap; below it slowly up while all is well, quickly down where many
//! lose.
//!
//! The 90th percentile of what nodes lose decides, not the worst of them: that one goes to unicast. What is lost
//! just as much at half the rate is not lost to congestion: it is the path's own loss, and what comes on top of
//! it counts.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

/// Not twice for one congestion: what a decrease does is seen only a report later.
const BETWEEN_DECREASES: Duration = Duration::from_millis(400);
/// Above the path's own loss.
const DECREASE_ABOVE: f64 = 0.02;
/// Above the path's own loss.
const INCREASE_BELOW: f64 = 0.005;
/// So many decreases in a row, and no less than this part of the loss is left: they do not help.
const DECREASES: u8 = 2;
const UNHELPED: f64 = 0.8;
/// On a path that loses more by itself multicast does not help.
const PATH_LOSS_MAX: f64 = 0.25;
/// The path's own loss follows what is lost over about this number of reports.
const SMOOTHED_OVER: f64 = 8.0;

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

/// Decreases in a row.
#[derive(Clone, Copy, Debug)]
struct Falling {
    /// What was lost before the first.
    loss: f64,
    decreases: u8,
}

/// The rate as it is.
#[derive(Debug)]
pub(super) struct Rate {
    limits: RateLimits,
    bytes_per_second: f64,
    decreased: Option<Instant>,
    falling: Option<Falling>,
    /// What is lost at any rate.
    path_loss: f64,
    loss: Option<f64>,
}

impl Rate {
    pub(super) fn new(limits: RateLimits) -> Self {
        let bytes_per_second = limits.cap;
        Self { limits, bytes_per_second, decreased: None, falling: None, path_loss: 0.0, loss: None }
    }

    pub(super) fn bytes_per_second(&self) -> f64 {
        self.bytes_per_second
    }

    /// The loss that was judged last.
    pub(super) fn loss(&self) -> Option<f64> {
        self.loss
    }

    pub(super) fn path_loss(&self) -> f64 {
        self.path_loss
    }

    /// Other limits from now on; the rate stays the same part of the cap.
    pub(super) fn limit(&mut self, limits: RateLimits) {
        let part = self.bytes_per_second / self.limits.cap;
        self.limits = limits;
        self.set(limits.cap * part);
    }

    /// What the nodes lost lately, each from 0 to 1.
    pub(super) fn judge(&mut self, now: Instant, losses: &mut [f64]) {
        let Some(loss) = percentile(losses, 0.9) else { return };
        self.loss = Some(loss);
        if loss > self.path_loss + DECREASE_ABOVE {
            if self.decreased.is_none_or(|at| now >= at + BETWEEN_DECREASES) {
                self.decrease_or_learn(now, loss);
            }
            return;
        }
        self.falling = None;
        if loss < self.path_loss + INCREASE_BELOW {
            self.path_loss += (loss - self.path_loss) / SMOOTHED_OVER;
            self.set(self.bytes_per_second + self.limits.cap * 0.05);
        }
    }

    /// Half of it.
    pub(super) fn halve(&mut self) {
        self.set(self.bytes_per_second / 2.0);
    }

    fn decrease_or_learn(&mut self, now: Instant, loss: f64) {
        let unhelped = self.falling.filter(|falling| loss >= falling.loss * UNHELPED);
        let falling = unhelped.unwrap_or(Falling { loss, decreases: 0 });
        if falling.decreases >= DECREASES && loss <= PATH_LOSS_MAX {
            self.path_loss = loss;
            self.falling = None;
            return;
        }
        self.falling = Some(Falling { decreases: falling.decreases.saturating_add(1), ..falling });
        self.decreased = Some(now);
        self.set(self.bytes_per_second * 0.7);
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
