//! Waiting for others: said while it lasts, and left out of the time that a step took.

use bootstash_net::api::Progress;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Waits for `turn`. Where it does not come at once, `progress` says `what` is waited for, and then for how long.
pub(crate) async fn wait_for<T>(
    progress: &watch::Sender<Progress>,
    what: &str,
    turn: impl Future<Output = T>,
) -> T {
    tokio::pin!(turn);
    tokio::select! {
        biased;
        at_once = &mut turn => return at_once,
        () = std::future::ready(()) => (),
    }
    let began = Instant::now();
    progress.send_modify(|progress| progress.waiting = Some(what.to_owned()));
    let came = turn.await;
    progress.send_modify(|progress| {
        progress.waiting = None;
        progress.waited_seconds += began.elapsed().as_secs_f64();
    });
    came
}

/// The time a step takes.
#[derive(Debug)]
pub(super) struct StepClock {
    started: Instant,
    waited_ms: AtomicU64,
}

impl StepClock {
    pub(super) fn start() -> Self {
        Self { started: Instant::now(), waited_ms: AtomicU64::new(0) }
    }

    /// So much of it was spent waiting for others.
    pub(super) fn leave_out(&self, waited_seconds: f64) {
        let waited = Duration::try_from_secs_f64(waited_seconds).unwrap_or_default();
        self.waited_ms.fetch_add(u64::try_from(waited.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// What is left of it until now.
    pub(super) fn worked(&self) -> Duration {
        let waited = Duration::from_millis(self.waited_ms.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(waited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waiting_is_said_and_left_out_and_what_comes_at_once_is_no_waiting() {
        let (progress, seen) = watch::channel(Progress::default());
        let clock = StepClock::start();
        assert_eq!(wait_for(&progress, "for a turn", async { 7 }).await, 7);
        assert!(!seen.has_changed().unwrap());

        let work = Duration::from_secs(5);
        tokio::time::sleep(work).await;
        let turn = async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert_eq!(seen.borrow().waiting.as_deref(), Some("for a turn"));
        };
        wait_for(&progress, "for a turn", turn).await;
        assert_eq!((seen.borrow().waiting.as_deref(), seen.borrow().waited_seconds), (None, 60.0));
        clock.leave_out(seen.borrow().waited_seconds);
        assert_eq!(clock.worked(), work);
    }
}
