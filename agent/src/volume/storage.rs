//! Asking storage that may hang: on a thread of its own, with a deadline.
//!
//! Promises: whoever asks goes on in time. Storage that hangs holds one thread, however often it is
//! asked, and all of it together holds no more than [`THREADS`].

use bootstash_base::blocking::BlockingPool;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::time::Instant;

const THREADS: usize = 16;

/// The storage of this host. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Storage {
    pool: BlockingPool,
    /// One thread for each mount point that is being asked.
    mounts: Arc<Mutex<BTreeMap<PathBuf, BlockingPool>>>,
}

impl Storage {
    pub(super) fn new() -> Self {
        Self { pool: BlockingPool::new("storage", THREADS), mounts: Arc::default() }
    }

    /// What `look` finds on the storage that is mounted at `at`; nothing where it does not answer until
    /// then. `look` ends when the storage answers or the process does.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        at: &Path,
        until: Instant,
        look: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        self.mount(at).run(until, look).await.ok()
    }

    fn mount(&self, at: &Path) -> BlockingPool {
        let mut mounts = self.mounts.lock();
        mounts.retain(|_, mount| !mount.is_unused());
        mounts.entry(at.to_owned()).or_insert_with(|| self.pool.part(1)).clone()
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
        storage.mount(Path::new("/b"));
        assert!(storage.mounts.lock().keys().eq([Path::new("/b")]), "mounts that nobody asks are forgotten");
    }
}
