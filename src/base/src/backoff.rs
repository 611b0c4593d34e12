//! How long to wait before the next try.
//!
//! Promises: pure; what the time is, and where in its range a wait falls, the caller says. That is why no crate does it:
//! simulations replay each wait from their seed, and the crates for it (`backon`) draw and sleep by themselves.

use std::time::Duration;
use tokio::time::Instant;

/// Waits that double from the first to the longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// After the first failure.
    pub first: Duration,
    /// However many failures there were.
    pub longest: Duration,
}

impl Backoff {
    /// The same wait after each failure.
    pub const fn constant(wait: Duration) -> Self {
        Self { first: wait, longest: wait }
    }

    /// The wait after the failure of this number in a row, counted from 1.
    pub fn wait(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.first.saturating_mul(1 << doublings).min(self.longest)
    }

    /// As [`Self::wait`], anywhere in its upper half, where `jitter` (0 to 1) says: those who failed together must not try
    /// again together.
    pub fn jittered(&self, failures: u32, jitter: f64) -> Duration {
        upper_half(self.wait(failures), jitter)
    }

    /// Counts failures from now on, and gives up at the deadline.
    pub const fn retries(self, deadline: Instant) -> Retries {
        Retries { backoff: self, failures: 0, deadline }
    }
}

/// Somewhere in the upper half of `full`, where `jitter` (0 to 1) says.
pub fn upper_half(full: Duration, jitter: f64) -> Duration {
    full.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
}

/// The wait of one that was told to come again after `told`: never less, and up to twice that, where `jitter` (0 to 1)
/// says, as others were told the same at the same moment.
pub fn not_before(told: Duration, jitter: f64) -> Duration {
    told.mul_f64(1.0 + jitter.clamp(0.0, 1.0))
}

/// Failures in a row, and when to give up.
#[derive(Clone, Copy, Debug)]
pub struct Retries {
    backoff: Backoff,
    failures: u32,
    deadline: Instant,
}

impl Retries {
    /// Counts a failure. How long to wait before the next try, or none where that would be after the deadline.
    pub fn after_failure(&mut self, now: Instant) -> Option<Duration> {
        self.failures = self.failures.saturating_add(1);
        let wait = self.backoff.wait(self.failures);
        (now + wait <= self.deadline).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(30) };

    #[test]
    fn waits_double_up_to_the_longest() {
        let seconds = [0, 1, 2, 3, 5, 6, u32::MAX].map(|failures| BACKOFF.wait(failures).as_secs());
        assert_eq!(seconds, [1, 1, 2, 4, 16, 30, 30]);
        let huge = Backoff { longest: Duration::MAX, first: Duration::from_secs(u64::MAX) };
        assert_eq!(huge.wait(9), Duration::MAX);
    }

    #[test]
    fn jitter_spreads_over_the_upper_half() {
        let millis = [-1.0, 0.0, 0.5, 1.0, 2.0].map(|jitter| BACKOFF.jittered(2, jitter).as_millis());
        assert_eq!(millis, [1000, 1000, 1500, 2000, 2000]);
    }

    #[test]
    fn nobody_comes_before_their_turn() {
        let told = Duration::from_secs(4);
        assert_eq!([0.0, 0.5, 1.0, 2.0].map(|jitter| not_before(told, jitter).as_secs()), [4, 6, 8, 8]);
    }

    #[test]
    fn gives_up_where_the_next_try_would_come_after_the_deadline() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut retries = BACKOFF.retries(after(6));
        let waits = [0, 1, 3].map(|seconds| retries.after_failure(after(seconds)));
        assert_eq!(waits, [Some(Duration::from_secs(1)), Some(Duration::from_secs(2)), None]);
    }
}
