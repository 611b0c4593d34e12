//! How long to wait before the next try.

use bootstash_base::backoff::{Backoff, upper_half};
use std::time::Duration;

/// The waits of a follower.
#[derive(Clone, Copy, Debug)]
pub struct Intervals {
    /// After transient failures in a row.
    pub retry: Backoff,
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
            retry: Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(30) },
            stopped_retry: Duration::from_secs(60),
            long_poll: Duration::from_secs(30),
            read_timeout: Duration::from_secs(90),
            report: Duration::from_secs(300),
            download_jitter: Duration::from_secs(3),
        }
    }
}

impl Intervals {
    /// How long the registrar is to hold its answer back: in the upper half of the longest, so that nodes
    /// which asked together once do not for ever.
    pub fn jittered_poll(&self, jitter: f64) -> Duration {
        upper_half(self.long_poll, jitter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_the_longest_and_spreads_over_the_upper_half() {
        let intervals = Intervals::default();
        let seconds = |failures, jitter| intervals.retry.jittered(failures, jitter).as_secs_f64();
        assert_eq!([seconds(1, 1.0), seconds(2, 1.0), seconds(3, 1.0)], [1.0, 2.0, 4.0]);
        assert_eq!([seconds(6, 0.0), seconds(6, 1.0), seconds(u32::MAX, 1.0)], [15.0, 30.0, 30.0]);
        assert_eq!([0.0, 1.0].map(|jitter| intervals.jittered_poll(jitter).as_secs()), [15, 30]);
    }
}
