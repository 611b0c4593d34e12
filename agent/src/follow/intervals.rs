//! How long to wait before the next try.

use std::time::Duration;

/// The waits of a follower.
#[derive(Clone, Copy, Debug)]
pub struct Intervals {
    /// After the first transient failure; doubles with each further one.
    pub first_retry: Duration,
    /// The longest wait after transient failures.
    pub longest_retry: Duration,
    /// After a failure that only a person can mend.
    pub stopped_retry: Duration,
    /// How long the registrar may hold back an answer that says nothing new.
    pub long_poll: Duration,
    /// How long the registrar may say nothing at all, in the middle of an answer too; longer than `long_poll`.
    pub read_timeout: Duration,
    /// How often to report although nothing changed.
    pub report: Duration,
    /// Nodes that come back together, after a power cut or a registrar's absence, begin to download within
    /// this time, each at a moment of its own.
    pub download_jitter: Duration,
}

impl Default for Intervals {
    fn default() -> Self {
        Self {
            first_retry: Duration::from_secs(1),
            longest_retry: Duration::from_secs(30),
            stopped_retry: Duration::from_secs(60),
            long_poll: Duration::from_secs(30),
            read_timeout: Duration::from_secs(90),
            report: Duration::from_secs(300),
            download_jitter: Duration::from_secs(3),
        }
    }
}

impl Intervals {
    /// The wait after so many transient failures in a row (from 1): `jitter` (0 to 1) says where in
    /// its upper half. Nodes that lost the registrar together must not come back together.
    pub fn back_off(&self, failures: u32, jitter: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        let full = self.first_retry.saturating_mul(1 << doublings).min(self.longest_retry);
        full.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
    }

    /// The wait of a node that was told to retry later: never less than it was told, and up to twice that,
    /// as others were told the same at the same moment.
    pub fn jittered_retry_after(retry_after: Duration, jitter: f64) -> Duration {
        retry_after.mul_f64(1.0 + jitter.clamp(0.0, 1.0))
    }

    /// How long the registrar is to hold its answer back: in the upper half of the longest, so that nodes
    /// which asked together once do not for ever.
    pub fn jittered_poll(&self, jitter: f64) -> Duration {
        self.long_poll.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_the_longest_and_spreads_over_the_upper_half() {
        let intervals = Intervals::default();
        let seconds = |failures, jitter| intervals.back_off(failures, jitter).as_secs_f64();
        assert_eq!([seconds(1, 1.0), seconds(2, 1.0), seconds(3, 1.0)], [1.0, 2.0, 4.0]);
        assert_eq!([seconds(6, 0.0), seconds(6, 1.0), seconds(u32::MAX, 1.0)], [15.0, 30.0, 30.0]);
        assert_eq!([0.0, 1.0].map(|jitter| intervals.jittered_poll(jitter).as_secs()), [15, 30]);
    }

    #[test]
    fn nobody_comes_before_its_turn() {
        let told = Duration::from_secs(4);
        assert_eq!(
            [0.0, 0.5, 1.0].map(|jitter| Intervals::jittered_retry_after(told, jitter).as_secs()),
            [4, 6, 8]
        );
    }
}
