//! A token bucket, pure. It holds at least 30 ms: with less than the time in which a host wakes a program up
//! the rate would be lower than configured, without an error.

use std::time::{Duration, Instant};

const BURST: Duration = Duration::from_millis(30);

/// Bytes that may go out, by time.
#[derive(Debug)]
pub(super) struct TokenBucket {
    bytes_per_second: f64,
    tokens: f64,
    at: Instant,
}

impl TokenBucket {
    pub(super) fn new(bytes_per_second: f64, now: Instant) -> Self {
        Self { bytes_per_second, tokens: 0.0, at: now }
    }

    pub(super) fn set_rate(&mut self, bytes_per_second: f64, now: Instant) {
        self.refill(now, 0.0);
        self.bytes_per_second = bytes_per_second;
    }

    /// Consumes tokens for these bytes, or says when there will be enough.
    pub(super) fn take(&mut self, now: Instant, bytes: usize) -> Result<(), Instant> {
        let bytes = bytes as f64;
        self.refill(now, bytes);
        if self.tokens >= bytes {
            self.tokens -= bytes;
            return Ok(());
        }
        let lacking = Duration::from_secs_f64((bytes - self.tokens) / self.bytes_per_second);
        // Rounding must not make the caller come too early again and again.
        Err(now + lacking + Duration::from_nanos(1000))
    }

    fn refill(&mut self, now: Instant, at_least: f64) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        let full = (self.bytes_per_second * BURST.as_secs_f64()).max(at_least);
        self.tokens = (self.tokens + self.bytes_per_second * passed).min(full);
    }
}
