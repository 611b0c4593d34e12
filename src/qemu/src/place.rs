//! The directory that a confined process works in, and all it can reach of ours.
//!
//! Promises: the process's user may enter it and use what was handed to it there, and can neither make,
//! rename nor remove anything in it, so that no name we use leads elsewhere. The process is started within
//! and given bare names: the directories above may be closed to it. It goes with its content on drop.

use super::user::DynamicUser;
use nix::unistd::chown;
use std::fs::{File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio::net::UnixListener;

/// A place for one process, with a user of its own where we are root.
#[derive(Debug)]
pub struct Place {
    opened: File,
    dir: TempDir,
    /// Given up last, when nothing is left that is theirs.
    user: Option<DynamicUser>,
}

impl Place {
    /// Makes one in `parent`.
    ///
    /// # Errors
    /// What making it met, or finding a user.
    pub fn create_in(parent: &Path) -> io::Result<Self> {
        let user = DynamicUser::take()?;
        let dir = tempfile::Builder::new()
            .prefix("bootstash-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(std::path::absolute(parent)?)?;
        if let Some(user) = &user {
            chown(dir.path(), None, Some(user.gid()))?;
            std::fs::set_permissions(dir.path(), Permissions::from_mode(0o710))?;
        }
        Ok(Self { opened: File::open(dir.path())?, dir, user })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Listens on a socket in it which the process may connect to, however long the path.
    ///
    /// # Errors
    /// What making the socket met.
    pub fn listen(&self, name: &str) -> io::Result<UnixListener> {
        // Linux takes 107 bytes for a whole socket path.
        let short = PathBuf::from(format!("/proc/self/fd/{}/{name}", self.opened.as_raw_fd()));
        let listener = UnixListener::bind(short)?;
        self.hand_over(name)?;
        Ok(listener)
    }

    /// Gives a file in it to the process, to read and write.
    ///
    /// # Errors
    /// What changing its owner met.
    pub fn hand_over(&self, name: &str) -> io::Result<()> {
        let Some(user) = &self.user else { return Ok(()) };
        Ok(chown(&self.path().join(name), Some(user.uid()), Some(user.gid()))?)
    }

    /// Takes a file in it away from the process, and names it `path`, on the same file system.
    ///
    /// # Errors
    /// What renaming it met, or changing its owner.
    pub(super) fn take_back(&self, name: &str, path: &Path) -> io::Result<()> {
        std::fs::rename(self.path().join(name), path)?;
        if self.user.is_some() {
            chown(path, Some(nix::unistd::geteuid()), Some(nix::unistd::getegid()))?;
        }
        Ok(())
    }

    /// Shows it the file at `path`, which everybody may read, under `name`: a second name of the same file,
    /// which stays ours.
    ///
    /// # Errors
    /// What linking met, such as another file system.
    pub fn lend(&self, path: &Path, name: &str) -> io::Result<()> {
        std::fs::hard_link(path, self.path().join(name))
    }

    pub(super) fn user(&self) -> Option<&DynamicUser> {
        self.user.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[tokio::test]
    async fn sockets_can_be_bound_below_any_path() {
        let scratch = tempfile::tempdir().unwrap();
        let deep = scratch.path().join("d".repeat(200));
        std::fs::create_dir(&deep).unwrap();
        for parent in [scratch.path(), &deep] {
            let place = Place::create_in(parent).unwrap();
            let path = place.path().to_owned();
            place.listen("serial").unwrap();
            assert!(path.join("serial").exists());
            drop(place);
            assert!(!path.exists(), "a place was left");
        }
    }

    #[tokio::test]
    async fn what_is_in_it_is_theirs_and_the_directory_is_ours() {
        let scratch = tempfile::tempdir().unwrap();
        let place = Place::create_in(scratch.path()).unwrap();
        let _socket = place.listen("s").unwrap();
        std::fs::write(scratch.path().join("cache"), "x").unwrap();
        place.lend(&scratch.path().join("cache"), "cache").unwrap();
        let of = |name: &str| place.path().join(name).metadata().unwrap();
        let us = nix::unistd::geteuid().as_raw();
        assert_eq!((of("").uid(), of("cache").uid()), (us, us));
        assert_eq!(of("").mode() & 0o007, 0, "others may enter");
        if let Some(user) = place.user() {
            assert_eq!((of("s").uid(), of("").gid()), (user.uid().as_raw(), user.gid().as_raw()));
            assert_eq!(of("").mode() & 0o070, 0o010, "they could make files");
        }
    }
}
