//! Calls that block their thread in the kernel, as futures with a deadline.
//!
//! Promises: none of them runs on the runtime's own threads; one that panics fails alone. What it
//! cannot promise: a thread that is blocked in the kernel cannot be ended. After the deadline the
//! caller has its error, and the thread goes on with the call until the kernel lets it go; what the
//! call was asked to do may yet be done. At most [`AT_ONCE`] threads can be lost in this way: while
//! as many are blocked, further calls wait for one of them, and meet the deadline without a thread.

use super::ZfsFailure;
use super::call_monitor::Calls;
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::timeout;

/// An agent has eight threads for everything that blocks; half of them must be left to its files.
const AT_ONCE: usize = 4;

/// Where such calls wait for their turn. Clones share the turns.
#[derive(Clone, Debug)]
pub(super) struct Blocking {
    turns: Arc<Semaphore>,
    calls: Calls,
}

impl Blocking {
    /// Calls that count among `calls`.
    pub(super) fn new(calls: &Calls) -> Self {
        Self { turns: Arc::new(Semaphore::new(AT_ONCE)), calls: calls.clone() }
    }

    /// Runs `work`, which is called `call` in errors, and waits for it as long as `limit` says.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        call: &str,
        limit: Duration,
        work: impl FnOnce() -> Result<T, ZfsFailure> + Send + 'static,
    ) -> Result<T, ZfsFailure> {
        let _waiting = self.calls.begin(call);
        let turns = Arc::clone(&self.turns);
        let ended = timeout(limit, async {
            let turn = turns.acquire_owned().await;
            // The turn goes with the work, which may outlive the caller's retry.
            let held = move || (work(), drop(turn)).0;
            spawn_blocking(held).await
        });
        match ended.await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => Err(broken(call, error)),
            Err(_) => Err(ZfsFailure::Deadline { command: call.to_owned(), after: limit }),
        }
    }
}

/// What a thread that did not return becomes.
pub(super) fn broken(call: &str, error: JoinError) -> ZfsFailure {
    let stderr = match error.try_into_panic() {
        Ok(panic) => format!("the library panicked: {}", words(panic.as_ref())),
        Err(_) => "bootstash is ending".to_owned(),
    };
    ZfsFailure::Unexpected { command: call.to_owned(), stderr }
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    const SOON: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(60);

    /// A call that blocks its thread until the sender goes.
    fn stuck() -> (Sender<()>, impl FnOnce() -> Result<(), ZfsFailure> + Send + 'static) {
        let (release, held): (Sender<()>, Receiver<()>) = channel();
        (release, move || {
            let _ = held.recv();
            Ok(())
        })
    }

    #[tokio::test]
    async fn a_panic_is_an_error_of_that_call_alone() {
        let blocking = Blocking::new(&Calls::default());
        let error =
            blocking.run("call", LONG, || -> Result<(), _> { panic!("no {}", "gzip") }).await.unwrap_err();
        assert_eq!(error.to_string(), "call failed: the library panicked: no gzip");
        assert_eq!(blocking.run("call", LONG, || Ok(7)).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn what_does_not_return_meets_its_deadline() {
        let (release, work) = stuck();
        let error = Blocking::new(&Calls::default()).run("call", SOON, work).await.unwrap_err();
        assert!(matches!(error, ZfsFailure::Deadline { .. }), "{error:?}");
        drop(release);
    }

    #[tokio::test]
    async fn no_more_threads_are_lost_than_there_are_turns() {
        let blocking = Blocking::new(&Calls::default());
        let mut releases = Vec::new();
        for _ in 0..AT_ONCE {
            let (release, work) = stuck();
            blocking.run("call", SOON, work).await.unwrap_err();
            releases.push(release);
        }
        let error = blocking.run("call", SOON, || Ok(())).await.unwrap_err();
        assert!(matches!(error, ZfsFailure::Deadline { .. }), "{error:?}");
        releases.clear();
        blocking.run("call", LONG, || Ok(())).await.unwrap();
    }
}
