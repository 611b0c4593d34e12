//! Whether something is mounted where it should be, without asking ZFS.

use bootstash_base::clock;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// A file system that stands still holds one thread, however often it is looked at.
static TURN: Semaphore = Semaphore::const_new(1);
const LIMIT: Duration = Duration::from_secs(5);

/// Whether a file system is mounted at `path`. One whose daemon has died is not; one that does not answer
/// in time is: mounting it again would only wait with it.
pub async fn is_mounted(path: &Path) -> bool {
    if clock::is_simulated() {
        return is_mount_point(path);
    }
    let path = path.to_owned();
    let looked = timeout(LIMIT, async {
        let turn = TURN.acquire().await;
        // The turn goes with the look, which may outlive our retry.
        spawn_blocking(move || (is_mount_point(&path), drop(turn)).0).await
    });
    looked.await.map_or(true, |found| found.unwrap_or(false))
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
