//! A user of its own for each process that meets something hostile.
//!
//! Promises: a number that no account, no process and no other holder has, as long as it is held. It comes
//! from the range of systemd's dynamic users and is locked as systemd locks them, so that a service with
//! `DynamicUser=` never shares it. Nothing has to be set up.

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::unistd::{Gid, Group, Uid, User};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The numbers that systemd gives to dynamic users.
const RANGE: std::ops::RangeInclusive<u32> = 61184..=65519;
const SYSTEMDS_LOCKS: &str = "/run/systemd/dynamic-uid";

/// What this process holds.
static HELD: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// A user and group without an account, held until dropped.
#[derive(Debug)]
pub(super) struct DynamicUser {
    number: u32,
    _lock: Option<SystemdLock>,
}

impl DynamicUser {
    /// Takes a number; none where we are not root, and everything stays ours.
    ///
    /// # Errors
    /// Where processes cannot be listed, or all numbers are taken.
    pub(super) fn take() -> io::Result<Option<Self>> {
        if !nix::unistd::geteuid().is_root() {
            return Ok(None);
        }
        Self::take_from(Path::new(SYSTEMDS_LOCKS)).map(Some)
    }

    fn take_from(locks: &Path) -> io::Result<Self> {
        let mut held = HELD.lock();
        let running = users_of_processes()?;
        for number in RANGE {
            if held.contains(&number) || running.contains(&number) || has_account(number)? {
                continue;
            }
            let Lock::Ours(lock) = lock(locks, number)? else { continue };
            held.insert(number);
            return Ok(Self { number, _lock: lock });
        }
        Err(io::Error::other(format!("all users from {} to {} are taken", RANGE.start(), RANGE.end())))
    }

    pub(super) fn uid(&self) -> Uid {
        Uid::from_raw(self.number)
    }

    pub(super) fn gid(&self) -> Gid {
        Gid::from_raw(self.number)
    }
}

impl Drop for DynamicUser {
    fn drop(&mut self) {
        HELD.lock().remove(&self.number);
    }
}

/// A process that is just ending may be in the list or not; it is gone either way.
fn users_of_processes() -> io::Result<BTreeSet<u32>> {
    let processes = std::fs::read_dir("/proc")?;
    let statuses =
        processes.filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("status")).ok());
    Ok(statuses.flat_map(|status| ids_of(&status)).collect())
}

/// All users and groups in a process's status.
fn ids_of(status: &str) -> Vec<u32> {
    let lines = status.lines().filter(|line| line.starts_with("Uid:") || line.starts_with("Gid:"));
    lines.flat_map(str::split_whitespace).filter_map(|word| word.parse().ok()).collect()
}

fn has_account(number: u32) -> io::Result<bool> {
    let (user, group) = (User::from_uid(Uid::from_raw(number))?, Group::from_gid(Gid::from_raw(number))?);
    Ok(user.is_some() || group.is_some())
}

enum Lock {
    /// Without a file where there is no systemd to lock against.
    Ours(Option<SystemdLock>),
    Theirs,
}

#[derive(Debug)]
struct SystemdLock {
    path: PathBuf,
    _file: Flock<File>,
}

impl Drop for SystemdLock {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "the lock of a user was not removed");
        }
    }
}

/// As systemd's `dynamic-user.c` does: a file for each number, locked, and removed while it is locked.
fn lock(directory: &Path, number: u32) -> io::Result<Lock> {
    if !directory.is_dir() {
        return Ok(Lock::Ours(None));
    }
    let path = directory.join(number.to_string());
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NOCTTY).bits();
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .custom_flags(flags)
        .open(&path)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        // One that was removed between opening and locking locks nothing.
        Ok(file) if file.metadata()?.nlink() > 0 => Ok(Lock::Ours(Some(SystemdLock { path, _file: file }))),
        Ok(_) | Err((_, Errno::EWOULDBLOCK)) => Ok(Lock::Theirs),
        Err((_, errno)) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_that_are_held_at_once_differ() {
        let none = Path::new("/nonexistent");
        let (a, b) = (DynamicUser::take_from(none).unwrap(), DynamicUser::take_from(none).unwrap());
        assert!(a.uid() != b.uid() && RANGE.contains(&a.number) && RANGE.contains(&b.number));
        assert!(!has_account(a.number).unwrap());
    }

    #[test]
    fn accounts_are_seen() {
        assert!(has_account(0).unwrap());
    }

    #[test]
    fn a_number_that_systemd_has_locked_is_passed_over_and_comes_free_again() {
        let locks = tempfile::tempdir().unwrap();
        let Lock::Ours(Some(held)) = lock(locks.path(), 61184).unwrap() else { panic!("not locked") };
        assert!(matches!(lock(locks.path(), 61184).unwrap(), Lock::Theirs));
        assert_ne!(DynamicUser::take_from(locks.path()).unwrap().number, 61184);
        drop(held);
        assert!(matches!(lock(locks.path(), 61184).unwrap(), Lock::Ours(Some(_))));
        assert_eq!(std::fs::read_dir(locks.path()).unwrap().count(), 0, "a lock was left");
    }

    #[test]
    fn users_and_groups_of_a_process_are_found() {
        let status = "Name:\tx\nUid:\t0\t61200\t0\t0\nGid:\t5\t5\t5\t5\nPid:\t7\n";
        assert_eq!(ids_of(status), [0, 61200, 0, 0, 5, 5, 5, 5]);
        assert!(users_of_processes().unwrap().contains(&nix::unistd::geteuid().as_raw()));
    }
}
