//! Asking storage that may hang: on a thread of its own, with a deadline.
//!
//! Promises: whoever asks goes on in time. Storage that hangs holds one thread, however often it is
//! asked, and all of it together holds no more than [`THREADS`].

use bootstash_base::clock;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{Mutex as Turn, Semaphore, oneshot};
use tokio::time::{Instant, timeout_at};

/// Not those of the runtime: everything else would wait with the storage.
const THREADS: usize = 16;

/// The storage of this host. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Storage(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    threads: Arc<Semaphore>,
    turns: Mutex<BTreeMap<PathBuf, Arc<Turn<()>>>>,
}

impl Storage {
    pub(super) fn new() -> Self {
        let threads = Arc::new(Semaphore::new(THREADS));
        Self(Arc::new(Shared { threads, turns: Mutex::default() }))
    }

    /// What `look` finds on the storage that is mounted at `at`; nothing where it does not answer until
    /// then. `look` ends when the storage answers or the process does.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        at: &Path,
        until: Instant,
        look: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        if clock::is_simulated() {
            return Some(look());
        }
        let turn = self.turn(at);
        let asking = async {
            let held = (turn.lock_owned().await, Arc::clone(&self.0.threads).acquire_owned().await.ok()?);
            let (sender, answer) = oneshot::channel();
            let thread = std::thread::Builder::new().name("storage".to_owned());
            let started = thread.spawn(move || {
                let found = look();
                drop(held);
                // Who asked may have gone on.
                drop(sender.send(found));
            });
            started.ok()?;
            answer.await.ok()
        };
        timeout_at(until, asking).await.ok().flatten()
    }

    fn turn(&self, at: &Path) -> Arc<Turn<()>> {
        let mut turns = self.0.turns.lock();
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(turns.entry(at.to_owned()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(20)
    }

    fn late() -> Instant {
        Instant::now() + Duration::from_secs(30)
    }

    #[tokio::test]
    async fn storage_that_hangs_is_asked_once_and_answers_again_later() {
        let storage = Storage::new();
        let (release, released) = mpsc::channel::<()>();
        let (hung, fine) = (Path::new("/hung"), Path::new("/fine"));
        assert_eq!(storage.ask(hung, soon(), move || _ = released.recv()).await, None);
        for _ in 0..2 * THREADS {
            let never = || unreachable!("its first question is not answered yet");
            assert_eq!(storage.ask::<()>(hung, soon(), never).await, None);
        }
        assert_eq!(storage.ask(fine, late(), || 7).await, Some(7));
        release.send(()).unwrap();
        assert_eq!(storage.ask(hung, late(), || 8).await, Some(8));
    }

    #[tokio::test]
    async fn a_look_that_breaks_off_has_no_answer_and_leaves_the_turn_to_others() {
        let storage = Storage::new();
        assert_eq!(storage.ask::<()>(Path::new("/a"), late(), || panic!("planned")).await, None);
        assert_eq!(storage.ask(Path::new("/a"), late(), || 1).await, Some(1));
        assert_eq!(storage.0.threads.available_permits(), THREADS);
    }
}
