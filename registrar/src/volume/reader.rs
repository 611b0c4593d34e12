//! Reading the images in the head for whoever asks: a ZFS that hangs costs a few threads and no
//! worker of the runtime.

use bootstash_base::error::Classified;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// Threads that a file system which does not answer can hold.
const AT_ONCE: usize = 4;
/// Small files, mostly in memory.
const LIMIT: Duration = Duration::from_secs(5);

/// Reads what lies at the volume's mountpoint. Cheap to clone; clones share their turns.
#[derive(Clone, Debug)]
pub struct VolumeReader {
    mountpoint: PathBuf,
    turns: Arc<Semaphore>,
    limit: Duration,
}

/// The volume's file system gave no answer.
#[derive(Debug, thiserror::Error, Classified)]
#[error("{} gave no answer for {after:?}; does ZFS hang?", .mountpoint.display())]
#[class(transient)]
pub struct NoAnswer {
    mountpoint: PathBuf,
    after: Duration,
}

impl VolumeReader {
    /// A reader of what is mounted there.
    pub fn new(mountpoint: &Path) -> Self {
        Self { mountpoint: mountpoint.to_owned(), turns: Arc::new(Semaphore::new(AT_ONCE)), limit: LIMIT }
    }

    /// Does `work`, which reads files below the mountpoint it is given, off the runtime's threads.
    ///
    /// # Errors
    /// When it takes too long; its thread then ends when the file system answers.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> T + Send + 'static,
    ) -> Result<T, NoAnswer> {
        let (mountpoint, turns) = (self.mountpoint.clone(), Arc::clone(&self.turns));
        let done = timeout(self.limit, async {
            let turn = turns.acquire_owned().await;
            // The turn goes with the work, which may outlive the asker's timeouts.
            spawn_blocking(move || (work(&mountpoint), drop(turn)).0).await
        });
        match done.await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(panic)) if panic.is_panic() => std::panic::resume_unwind(panic.into_panic()),
            _ => Err(NoAnswer { mountpoint: self.mountpoint.clone(), after: self.limit }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_does_not_answer_holds_a_few_threads() {
        let reader =
            VolumeReader { limit: Duration::from_millis(20), ..VolumeReader::new(Path::new("/tank")) };
        let mut releases = Vec::new();
        for _ in 0..AT_ONCE {
            let (release, held) = std::sync::mpsc::channel::<()>();
            assert!(reader.read(move |_| held.recv().is_ok()).await.is_err());
            releases.push(release);
        }
        let late = reader.read(|_| ()).await.unwrap_err().to_string();
        assert!(late.starts_with("/tank gave no answer"), "{late}");
        drop(releases);
        let patient = VolumeReader { limit: LIMIT * 12, ..reader };
        assert_eq!(patient.read(Path::to_owned).await.unwrap(), Path::new("/tank"));
    }
}
