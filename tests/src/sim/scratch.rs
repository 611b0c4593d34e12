//! Where simulations keep their files: in memory, below a directory that one process has for itself.

use anyhow::{Context, Result, ensure};
use nix::fcntl::{Flock, FlockArg};
use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

const BASES: [&str; 3] = ["a.raw", "b.raw", "c.raw"];
const MOST_PROCESSES: u32 = 10;

/// The directory; it is removed with this.
#[derive(Debug)]
pub struct ScratchDir {
    dir: PathBuf,
    lock: Flock<File>,
}

impl ScratchDir {
    /// Takes a directory that nobody has. Its path goes into manifests, so the first is always the same.
    ///
    /// # Errors
    /// When none can be had.
    pub fn take() -> Result<Self> {
        for number in 0..MOST_PROCESSES {
            let dir = PathBuf::from(format!("/dev/shm/bootstash-sim-{number}"));
            let file = File::create(dir.with_extension("lock")).context("cannot make a lock file")?;
            if let Ok(lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                let scratch = Self { dir, lock };
                scratch.prepare().context("cannot make the directory of the simulation")?;
                return Ok(scratch);
            }
        }
        anyhow::bail!("{MOST_PROCESSES} simulations run already")
    }

    fn prepare(&self) -> Result<()> {
        let _ = std::fs::remove_dir_all(&self.dir);
        std::fs::create_dir_all(self.dir.join("bases"))?;
        for base in self.bases() {
            std::fs::write(&base, base.as_os_str().as_encoded_bytes())?;
            let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000);
            File::options().write(true).open(&base)?.set_modified(then)?;
        }
        ensure!(self.bases().iter().all(|base| base.is_file()));
        Ok(())
    }

    pub(super) fn bases(&self) -> Vec<PathBuf> {
        BASES.iter().map(|base| self.dir.join("bases").join(base)).collect()
    }

    pub(super) fn dir(&self, seed: u64) -> PathBuf {
        self.dir.join(seed.to_string())
    }
}

impl Drop for ScratchDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
        // Still locked: whoever makes it anew has another.
        let _ = std::fs::remove_file(self.dir.with_extension("lock"));
        let _ = &self.lock;
    }
}
