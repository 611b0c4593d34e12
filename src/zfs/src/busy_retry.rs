//! Waiting for something in use to be let go, where there is no event to wait for.

use std::time::Duration;
use tokio::time::{Instant, sleep};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Growing pauses between calls that find something busy, until time is over.
#[derive(Debug)]
pub(super) struct BusyRetry {
    deadline: Instant,
    pause: Duration,
}

impl BusyRetry {
    /// Enough for as long as `limit` says, from now.
    pub(super) fn new(limit: Duration) -> Self {
        Self { deadline: Instant::now() + limit, pause: FIRST_PAUSE }
    }

    /// Pauses, and then it is worth another try; false, at once, when the pause would end too late.
    pub(super) async fn again(&mut self) -> bool {
        if Instant::now() + self.pause > self.deadline {
            return false;
        }
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pauses_grow_and_end() {
        let started = Instant::now();
        let mut retry = BusyRetry::new(FIRST_PAUSE * 4);
        // 50 ms and 100 ms; another 200 ms would be too late.
        assert!(retry.again().await && retry.again().await && !retry.again().await);
        assert!(started.elapsed() >= FIRST_PAUSE * 3);
    }
}
