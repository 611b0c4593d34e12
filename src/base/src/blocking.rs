//! Calls that block their thread in the kernel, as futures with a deadline.
//!
//! Promises: none of them runs on the runtime's threads, not even on those it keeps for blocking work, which files need;
//! one that panics fails alone; who asks goes on at the deadline. At most as many threads as the pool has can be lost to a
//! kernel that hangs: while all are blocked, a further call waits for one of them, and meets its deadline without a thread.
//!
//! What it cannot promise: a thread that is blocked in the kernel cannot be ended. After the deadline it goes on with the
//! call until the kernel lets it go; what the call was asked to do may yet be done.

use crate::clock;
use crate::error::Classified;
use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, timeout_at};

/// A bounded number of threads. Clones share them.
#[derive(Clone, Debug)]
pub struct BlockingPool {
    thread_name: &'static str,
    /// The pool's own, and then those of the pools it is part of.
    permits: Vec<Arc<Semaphore>>,
}

/// Why a blocking call has no result.
#[derive(Debug, thiserror::Error, Classified)]
pub enum BlockingError {
    /// It did not return before the deadline, or did not get a thread until then.
    #[error("no answer before the deadline")]
    #[class(transient)]
    Deadline,
    /// It panicked, with this message.
    #[error("panicked: {0}")]
    #[class(permanent)]
    Panicked(String),
    /// The system has no thread for it.
    #[error("no thread could be started")]
    #[class(transient)]
    NoThread(#[source] io::Error),
}

impl BlockingPool {
    /// At most `threads` threads, which are started when there is work. `thread_name` tells an operator who looks at a
    /// blocked thread what it waits for; Linux shows 15 bytes of it.
    pub fn new(thread_name: &'static str, threads: usize) -> Self {
        Self { thread_name, permits: vec![Arc::new(Semaphore::new(threads))] }
    }

    /// At most `threads` of this pool's threads: calls that may hang together get a part, so that they leave the rest
    /// to others.
    #[must_use]
    pub fn part(&self, threads: usize) -> Self {
        let own = Arc::new(Semaphore::new(threads));
        let permits = std::iter::once(own).chain(self.permits.iter().cloned()).collect();
        Self { thread_name: self.thread_name, permits }
    }

    /// Whether nobody else holds a clone of this pool and none of its calls waits or runs: what a map of parts need not
    /// keep.
    pub fn is_unused(&self) -> bool {
        self.permits.first().is_none_or(|own| Arc::strong_count(own) == 1)
    }

    /// Runs `work` on a thread of its own and waits for it until the deadline.
    ///
    /// With a simulated clock, which does not advance while other threads work, `work` runs at once on this thread.
    ///
    /// # Errors
    /// See [`BlockingError`].
    pub async fn run<T: Send + 'static>(
        &self,
        deadline: Instant,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, BlockingError> {
        if clock::is_simulated() {
            return Ok(work());
        }
        let outcome = async { self.start(work).await?.await.unwrap_or_else(|_| Err(panicked(&()))) };
        timeout_at(deadline, outcome).await.unwrap_or(Err(BlockingError::Deadline))
    }

    /// Waits for a permit and starts a thread, which sends the result.
    async fn start<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<oneshot::Receiver<Result<T, BlockingError>>, BlockingError> {
        // They go with the work, which may outlive who asked.
        let permits = self.acquire().await;
        let (sender, result) = oneshot::channel();
        let thread = std::thread::Builder::new().name(self.thread_name.to_owned());
        let started = thread.spawn(move || {
            let done = catch_unwind(AssertUnwindSafe(work));
            drop(permits);
            // Who asked may have gone on.
            drop(sender.send(done.map_err(|panic| panicked(panic.as_ref()))));
        });
        started.map_err(BlockingError::NoThread)?;
        Ok(result)
    }

    async fn acquire(&self) -> Vec<OwnedSemaphorePermit> {
        let mut held = Vec::with_capacity(self.permits.len());
        for permits in &self.permits {
            // Nobody closes them.
            held.extend(Arc::clone(permits).acquire_owned().await);
        }
        held
    }
}

fn panicked(panic: &(dyn Any + Send)) -> BlockingError {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    BlockingError::Panicked(text.unwrap_or("without a message").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};
    use std::time::Duration;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(20)
    }

    fn late() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    /// Loses a thread of `pool`, until the sender goes.
    async fn hang(pool: &BlockingPool) -> Sender<()> {
        let (release, held) = channel();
        let error = pool.run(soon(), move || held.recv().is_err()).await.unwrap_err();
        assert!(matches!(error, BlockingError::Deadline), "{error:?}");
        release
    }

    /// Fails if a thread of `pool` is free.
    async fn assert_exhausted(pool: &BlockingPool) {
        let never = || unreachable!("all threads are blocked");
        let error = pool.run::<()>(soon(), never).await.unwrap_err();
        assert!(matches!(error, BlockingError::Deadline), "{error:?}");
    }

    #[tokio::test]
    async fn a_panic_is_an_error_of_that_call_alone() {
        let pool = BlockingPool::new("test", 1);
        let error = pool.run(late(), || -> () { panic!("no {}", "gzip") }).await.unwrap_err();
        assert_eq!(error.to_string(), "panicked: no gzip");
        assert_eq!(pool.run(late(), || 7).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn no_more_threads_are_lost_than_the_pool_has() {
        let pool = BlockingPool::new("test", 2);
        let releases = (hang(&pool).await, hang(&pool).await);
        assert_exhausted(&pool).await;
        drop(releases);
        assert_eq!(pool.run(late(), || 7).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_part_that_hangs_leaves_the_rest_to_others() {
        let pool = BlockingPool::new("test", 2);
        let (hanging, other) = (pool.part(1), pool.part(1));
        let _release = hang(&hanging).await;
        assert_exhausted(&hanging).await;
        assert_eq!(other.run(late(), || 7).await.unwrap(), 7);
        let _second = hang(&other).await;
        assert_exhausted(&pool.part(1)).await;
    }

    #[tokio::test]
    async fn a_part_is_used_until_its_last_call_returns() {
        let part = BlockingPool::new("test", 2).part(2);
        part.run(late(), || ()).await.unwrap();
        assert!(part.is_unused());
        let _release = hang(&part).await;
        assert!(!part.is_unused());
    }

    #[tokio::test]
    async fn a_simulated_clock_does_not_wait_for_threads() {
        clock::set(|| chrono::DateTime::UNIX_EPOCH);
        let here = std::thread::current().id();
        let ran = BlockingPool::new("test", 0).run(soon(), move || std::thread::current().id()).await;
        clock::set(chrono::Utc::now);
        assert_eq!(ran.unwrap(), here);
    }
}
