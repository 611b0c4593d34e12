//! Whether something is mounted where it should be, without asking ZFS.

use bootstash_base::blocking::{BlockingError, BlockingPool};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;
use tokio::time::Instant;

/// A file system that hangs holds one thread, however often it is looked at.
static POOL: LazyLock<BlockingPool> = LazyLock::new(|| BlockingPool::new("mounted", 1));
const LIMIT: Duration = Duration::from_secs(5);

/// Whether a file system is mounted at `path`. One whose daemon has died is not; one that does not answer
/// in time is: mounting it again would only wait with it.
pub async fn is_mounted(path: &Path) -> bool {
    let path = path.to_owned();
    match POOL.run(Instant::now() + LIMIT, move || is_mount_point(&path)).await {
        Ok(found) => found,
        Err(BlockingError::Deadline | BlockingError::NoThread(_)) => true,
        Err(BlockingError::Panicked(_)) => false,
    }
}

fn is_mount_point(path: &Path) -> bool {
    let device = |path: &Path| path.metadata().map(|found| found.dev()).ok();
    let above = path.parent().and_then(device);
    device(path).is_some_and(|here| above != Some(here))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_is_no_mount() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_mounted(dir.path()).await && !is_mounted(&dir.path().join("missing")).await);
        assert!(is_mounted(Path::new("/proc")).await);
    }
}
