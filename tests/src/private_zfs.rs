//! Running a test program once more inside the namespace of a ZFS of its own.

use crate::lab::zfs_host::{ZfsHost, ZfsHostOptions};
use anyhow::{Context, Result};
use std::path::Path;
use std::process::{Child, ExitCode, ExitStatus};
use std::time::{Duration, Instant};

const POOL_BYTES: u64 = 2 << 30;
const POLL: Duration = Duration::from_millis(50);
/// Set in the process that runs inside: the pool.
const POOL_VARIABLE: &str = "BOOTSTASH_TEST_POOL";

/// The pool, in the process that runs inside.
pub(crate) fn pool() -> Option<String> {
    std::env::var(POOL_VARIABLE).ok()
}

/// Runs this program once more where the mounts of a ZFS of its own are seen, for at most `limit`;
/// `dir` is where that lives.
pub(crate) fn run_again(dir: &Path, limit: Duration) -> ExitCode {
    match inside(dir, limit) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:?}");
            ExitCode::FAILURE
        }
    }
}

fn inside(dir: &Path, limit: Duration) -> Result<bool> {
    ZfsHost::clean(dir)?;
    let _ = std::fs::remove_dir_all(dir);
    let host = ZfsHost::start(&ZfsHostOptions {
        dir: dir.to_owned(),
        pool: "tank".to_owned(),
        pool_bytes: POOL_BYTES,
        netns: None,
        private_paths: Vec::new(),
    })?;
    let mut command = host.command_in(std::env::current_exe()?);
    command.args(std::env::args_os().skip(1)).env(POOL_VARIABLE, host.pool());
    let child = command.spawn().context("cannot enter the namespace of the ZFS")?;
    let status = wait(child, limit)?;
    host.stop()?;
    std::fs::remove_dir_all(dir)?;
    let status = status.with_context(|| format!("the cases did not end within {} s", limit.as_secs()))?;
    Ok(status.success())
}

fn wait(mut child: Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait()? {
            None if Instant::now() < deadline => std::thread::sleep(POLL),
            None => {
                // What waits for a ZFS that hangs ends with that.
                child.kill()?;
                return Ok(None);
            }
            ended => return Ok(ended),
        }
    }
}
