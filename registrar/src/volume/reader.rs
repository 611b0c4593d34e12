//! Reading the images in the head for whoever asks: a ZFS that hangs costs a few threads and no
//! worker of the runtime.

use bootstash_base::blocking::{BlockingError, BlockingPool};
use bootstash_base::error::Classified;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// Threads that a file system which does not answer can hold.
const THREADS: usize = 4;
/// Small files, mostly in memory.
const LIMIT: Duration = Duration::from_secs(5);

/// Reads what lies at the volume's mountpoint. Cheap to clone; clones share their threads.
#[derive(Clone, Debug)]
pub struct VolumeReader {
    mountpoint: PathBuf,
    pool: BlockingPool,
    limit: Duration,
}

/// What is at the volume's mountpoint could not be read.
#[derive(Debug, thiserror::Error, Classified)]
pub enum VolumeReadError {
    /// Its file system does not answer.
    #[error("{} gave no answer for {after:?}; does ZFS hang?", .mountpoint.display())]
    #[class(transient)]
    NoAnswer {
        /// The volume's.
        mountpoint: PathBuf,
        /// The time it was given.
        after: Duration,
    },
    /// Reading did not begin, or broke off.
    #[error("cannot read what is at {}", .mountpoint.display())]
    #[class(source)]
    Unread {
        /// The volume's.
        mountpoint: PathBuf,
        /// What kept it from ending.
        source: BlockingError,
    },
}

impl VolumeReader {
    /// A reader of what is mounted there.
    pub fn new(mountpoint: &Path) -> Self {
        let pool = BlockingPool::new("volume-reader", THREADS);
        Self { mountpoint: mountpoint.to_owned(), pool, limit: LIMIT }
    }

    /// Does `work`, which reads files below the mountpoint it is given, off the runtime's threads.
    ///
    /// # Errors
    /// When it takes too long; its thread then ends when the file system answers. When it panics.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> T + Send + 'static,
    ) -> Result<T, VolumeReadError> {
        let mountpoint = self.mountpoint.clone();
        let done = self.pool.run(Instant::now() + self.limit, move || work(&mountpoint)).await;
        done.map_err(|error| self.failure(error))
    }

    fn failure(&self, error: BlockingError) -> VolumeReadError {
        let mountpoint = self.mountpoint.clone();
        match error {
            BlockingError::Deadline => VolumeReadError::NoAnswer { mountpoint, after: self.limit },
            source => VolumeReadError::Unread { mountpoint, source },
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
        for _ in 0..THREADS {
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

    #[tokio::test]
    async fn a_read_that_panics_is_an_error_that_says_so() {
        let error =
            VolumeReader::new(Path::new("/tank")).read(|_| -> () { panic!("planned") }).await.unwrap_err();
        let text = bootstash_base::error::Chain(&error).to_string();
        assert_eq!(text, "cannot read what is at /tank: panicked: planned");
        assert_eq!(error.kind(), bootstash_base::error::ErrorClass::Permanent);
    }
}
