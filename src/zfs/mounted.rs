//! Whether something is mounted where it should be, without asking ZFS.

use crate::clock;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Whether a file system is mounted at `path` that answers. One whose daemon has died does not.
pub async fn is_mounted(path: &Path) -> bool {
    if clock::is_simulated() {
        return is_mount_point(path);
    }
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || is_mount_point(&path)).await.unwrap_or(false)
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
