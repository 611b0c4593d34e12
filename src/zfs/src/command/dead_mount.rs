//! Mounts that outlived their ZFS: when the daemon of zfs-fuse dies, what it had mounted stays in the
//! tree, answers nothing but "Transport endpoint is not connected", and is in the way of a new mount.
//!
//! Promises: nothing that answers is ever unmounted.

use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};
use std::path::Path;

/// Mounts on top of each other that are looked at.
const DEEPEST: usize = 8;

/// Takes away what is dead at `path`; says whether something was.
pub(super) async fn detach(path: &Path) -> bool {
    let path = path.to_owned();
    // A file system that hangs keeps this thread, and is none that is dead.
    tokio::task::spawn_blocking(move || detach_blocking(&path)).await.unwrap_or(false)
}

fn detach_blocking(path: &Path) -> bool {
    let mut detached = false;
    for _ in 0..DEEPEST {
        if !is_dead(path) || umount2(path, MntFlags::MNT_DETACH).is_err() {
            break;
        }
        detached = true;
    }
    detached
}

fn is_dead(path: &Path) -> bool {
    let errno = std::fs::metadata(path).err().and_then(|error| error.raw_os_error());
    errno == Some(Errno::ENOTCONN as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_answers_or_is_not_there_stays() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!detach(dir.path()).await);
        assert!(!detach(&dir.path().join("missing")).await);
        assert!(!detach(Path::new("/proc")).await && Path::new("/proc/self").exists());
    }
}
