//! A token bucket, pure: time is what the caller says it is.
//!
//! Whoever wants to send claims its bytes first, and sends once the claim is due. Claims are due in
//! their order, so nobody is passed over; a claim that is given up delays the others by its bytes once.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

/// What may be sent at once after a pause, in parts of a second's worth.
const BURST_SECONDS: f64 = 0.25;

/// Bytes that may be sent, by time.
#[derive(Debug)]
pub struct Bucket {
    rate: Option<NonZeroU64>,
    /// All that was ever claimed.
    claimed_bytes: u64,
    /// How much of that has become due; ahead of it by no more than a burst.
    credited_bytes: f64,
    at: Instant,
}

/// A place in the row.
#[derive(Debug)]
pub struct Claim {
    until_bytes: u64,
}

impl Bucket {
    /// A full one; without a rate every claim is due at once.
    pub fn new(rate: Option<NonZeroU64>, now: Instant) -> Self {
        let mut bucket = Self { rate, claimed_bytes: 0, credited_bytes: 0.0, at: now };
        bucket.credited_bytes = bucket.burst_bytes();
        bucket
    }

    /// Another rate from now on, for claims that wait, too.
    pub fn set_rate(&mut self, rate: Option<NonZeroU64>, now: Instant) {
        self.credit(now);
        self.rate = rate;
        self.credited_bytes = self.credited_bytes.min(self.claimed_bytes as f64 + self.burst_bytes());
    }

    /// Claims this number of bytes.
    pub fn claim(&mut self, bytes: u64, now: Instant) -> Claim {
        self.credit(now);
        self.claimed_bytes += bytes;
        Claim { until_bytes: self.claimed_bytes }
    }

    /// How long a claim has to wait yet; none where it is due.
    pub fn wait(&mut self, claim: &Claim, now: Instant) -> Option<Duration> {
        self.credit(now);
        let rate = self.rate?.get() as f64;
        let lacking = claim.until_bytes as f64 - self.credited_bytes;
        (lacking > 0.0).then(|| Duration::from_secs_f64((lacking / rate).min(MAX_WAIT_SECONDS)))
    }

    fn credit(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        let full = self.claimed_bytes as f64 + self.burst_bytes();
        self.credited_bytes = match self.rate {
            Some(rate) => (self.credited_bytes + rate.get() as f64 * passed).min(full),
            None => full,
        };
    }

    fn burst_bytes(&self) -> f64 {
        self.rate.map_or(0.0, |rate| rate.get() as f64 * BURST_SECONDS)
    }
}

/// Who waits asks again after it.
const MAX_WAIT_SECONDS: f64 = 60.0;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rate(bytes: u64) -> Option<NonZeroU64> {
        NonZeroU64::new(bytes)
    }

    fn millis(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    #[test]
    fn a_pause_saves_up_a_burst_and_no_more() {
        let start = Instant::now();
        let mut bucket = Bucket::new(rate(1000), start);
        let first = bucket.claim(250, start);
        assert_eq!(bucket.wait(&first, start), None);
        let second = bucket.claim(500, start);
        assert_eq!(bucket.wait(&second, start), Some(millis(500)));
        assert_eq!(bucket.wait(&second, start + millis(400)), Some(millis(100)));
        assert_eq!(bucket.wait(&second, start + millis(500)), None);
        let after_an_hour = start + Duration::from_secs(3600);
        let third = bucket.claim(1250, after_an_hour);
        assert_eq!(bucket.wait(&third, after_an_hour), Some(millis(1000)));
    }

    #[test]
    fn claims_are_due_in_their_order() {
        let start = Instant::now();
        let mut bucket = Bucket::new(rate(1000), start);
        let claims: Vec<Claim> = (0..4).map(|_| bucket.claim(250, start)).collect();
        let waits: Vec<_> = claims.iter().map(|claim| bucket.wait(claim, start)).collect();
        assert_eq!(waits, [None, Some(millis(250)), Some(millis(500)), Some(millis(750))]);
    }

    #[test]
    fn another_rate_counts_for_who_waits() {
        let start = Instant::now();
        let mut bucket = Bucket::new(rate(1000), start);
        let claim = bucket.claim(10_250, start);
        assert_eq!(bucket.wait(&claim, start), Some(millis(10_000)));
        let later = start + millis(5000);
        bucket.set_rate(rate(10_000), later);
        assert_eq!(bucket.wait(&claim, later), Some(millis(500)));
        bucket.set_rate(None, later);
        assert_eq!(bucket.wait(&claim, later), None);
        bucket.set_rate(rate(10), later);
        let next = bucket.claim(10, later);
        assert_eq!(bucket.wait(&next, later), Some(millis(1000)), "what was sent without a limit is no debt");
    }

    #[test]
    fn no_wait_is_beyond_what_a_timer_takes() {
        let start = Instant::now();
        let mut bucket = Bucket::new(rate(1), start);
        let claim = bucket.claim(u64::MAX / 2, start);
        assert_eq!(bucket.wait(&claim, start), Some(Duration::from_secs(60)));
    }

    proptest! {
        /// Many senders that each wait until they are due: never above the rate plus a burst, and never idle.
        #[test]
        fn keeps_to_its_rate_and_wastes_none(
            bytes_per_second in 1_000_u64..10_000_000,
            sizes in proptest::collection::vec(1_u64..65_536, 1..200),
        ) {
            let start = Instant::now();
            let mut bucket = Bucket::new(rate(bytes_per_second), start);
            let (mut now, mut sent) = (start, 0);
            for size in sizes {
                let claim = bucket.claim(size, now);
                while let Some(wait) = bucket.wait(&claim, now) {
                    now += wait.max(Duration::from_nanos(100));
                }
                sent += size;
            }
            let allowed = bytes_per_second as f64 * ((now - start).as_secs_f64() + BURST_SECONDS);
            prop_assert!(sent as f64 <= allowed + 1.0, "{sent} of {allowed}");
            if now > start {
                prop_assert!(sent as f64 >= allowed - 1.0 - bytes_per_second as f64 * 1e-5, "{sent} of {allowed}");
            }
        }
    }
}
