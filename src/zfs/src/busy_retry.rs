//! Waiting for something in use to be let go, where there is no event to wait for.

use bootstash_base::backoff::{Backoff, Retries};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const BACKOFF: Backoff = Backoff { first: Duration::from_millis(50), longest: Duration::from_secs(1) };

/// Growing pauses between calls that find something busy, until time is over.
#[derive(Debug)]
pub(super) struct BusyRetry(Retries);

impl BusyRetry {
    /// Enough for as long as `limit` says, from now.
    pub(super) fn new(limit: Duration) -> Self {
        Self(BACKOFF.retries(Instant::now() + limit))
    }

    /// Pauses, and then it is worth another try; false, at once, when the pause would end too late.
    pub(super) async fn again(&mut self) -> bool {
        let Some(pause) = self.0.after_failure(Instant::now()) else { return false };
        sleep(pause).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pauses_grow_and_end() {
        let started = Instant::now();
        let mut retry = BusyRetry::new(BACKOFF.first * 4);
        // 50 ms and 100 ms; another 200 ms would be too late.
        assert!(retry.again().await && retry.again().await && !retry.again().await);
        assert!(started.elapsed() >= BACKOFF.first * 3);
    }
}
