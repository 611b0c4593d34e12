//! One daemon for one state directory.

use bootstash_base::error::Classified;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Held while a daemon runs; the kernel lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct InstanceLock(#[allow(dead_code, reason = "held for its drop")] Flock<File>);

/// The lock could not be taken.
#[derive(Debug, thiserror::Error, Classified)]
pub enum InstanceError {
    /// Another process has it.
    #[error("another {daemon} (pid {pid}) already runs on {}; stop it first, or give this one another state_dir", .dir.display())]
    #[class(busy)]
    Running {
        /// Which daemon.
        daemon: &'static str,
        /// Its process, as it wrote it.
        pid: String,
        /// The state directory.
        dir: PathBuf,
    },
    /// The directory or lock file cannot be made.
    #[error("cannot lock the state directory {}", .dir.display())]
    #[class(operator)]
    Io {
        /// The state directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl InstanceLock {
    /// Takes the lock of `daemon` in `dir`, making the directory.
    ///
    /// # Errors
    /// `Running` where another process holds it.
    pub fn acquire(daemon: &'static str, dir: &Path) -> Result<Self, InstanceError> {
        let io_error = |source| InstanceError::Io { dir: dir.to_owned(), source };
        std::fs::create_dir_all(dir).map_err(io_error)?;
        let path = dir.join(format!("{daemon}.lock"));
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(io_error)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut lock) => {
                write_pid(&mut lock).map_err(io_error)?;
                Ok(Self(lock))
            }
            Err((file, Errno::EWOULDBLOCK)) => {
                Err(InstanceError::Running { daemon, pid: read_pid(file), dir: dir.to_owned() })
            }
            Err((_, errno)) => Err(io_error(errno.into())),
        }
    }
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    write!(file, "{}", std::process::id())
}

fn read_pid(mut file: File) -> String {
    let mut text = String::new();
    match file.read_to_string(&mut text) {
        Ok(_) if !text.is_empty() => text,
        _ => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_is_told_who_the_first_is() {
        let dir = tempfile::tempdir().unwrap();
        let first = InstanceLock::acquire("registrar", dir.path()).unwrap();
        let error = InstanceLock::acquire("registrar", dir.path()).unwrap_err();
        assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
        drop(first);
        InstanceLock::acquire("registrar", dir.path()).unwrap();
    }
}
