//! How long to wait before the next try.

use std::time::Duration;

/// The waits of a follower.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// After the first transient failure; doubles with each further one.
    pub first: Duration,
    /// The longest wait after transient failures.
    pub longest: Duration,
    /// After a failure that only a person can mend.
    pub stopped: Duration,
    /// How long the registrar may hold back an answer that says nothing new.
    pub poll: Duration,
    /// How often to report although nothing changed.
    pub report: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(30),
            stopped: Duration::from_secs(60),
            poll: Duration::from_secs(30),
            report: Duration::from_secs(300),
        }
    }
}

impl Pace {
    /// The wait after so many transient failures in a row (from 1): `jitter` (0 to 1) says where in
    /// its upper half. Nodes that lost the registrar together must not come back together.
    pub fn back_off(&self, failures: u32, jitter: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        let full = self.first.saturating_mul(1 << doublings).min(self.longest);
        full.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_the_longest_and_spreads_over_the_upper_half() {
        let pace = Pace::default();
        let seconds = |failures, jitter| pace.back_off(failures, jitter).as_secs_f64();
        assert_eq!([seconds(1, 1.0), seconds(2, 1.0), seconds(3, 1.0)], [1.0, 2.0, 4.0]);
        assert_eq!([seconds(6, 0.0), seconds(6, 1.0), seconds(u32::MAX, 1.0)], [15.0, 30.0, 30.0]);
    }
}
