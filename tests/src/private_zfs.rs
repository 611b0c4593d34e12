//! Running a test program once more inside the namespace of a ZFS of its own.

use crate::lab::zfs_host::{ZfsHost, ZfsHostOptions, is_zfs_fuse};
use anyhow::{Context, Result};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
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
    drop(fs::remove_dir_all(dir));
    let host = ZfsHost::start(&ZfsHostOptions {
        dir: dir.to_owned(),
        pool: "tank".to_owned(),
        pool_bytes: POOL_BYTES,
        netns: None,
        private_paths: Vec::new(),
    })?;
    let mut command = host.command_in(std::env::current_exe()?);
    command.args(std::env::args_os().skip(1)).env(POOL_VARIABLE, host.pool());
    if is_zfs_fuse() {
        command.env("BOOTSTASH_ZFS", one_at_a_time(dir)?);
    }
    let child = command.spawn().context("cannot enter the namespace of the ZFS")?;
    let status = wait(child, limit)?;
    if status.is_none() {
        eprintln!("what threads of this host's ZFS wait in: {}", waits_of(host.pid()).join(", "));
    }
    host.stop()?;
    fs::remove_dir_all(dir)?;
    let status = status.with_context(|| format!("the cases did not end within {} s", limit.as_secs()))?;
    Ok(status.success())
}

/// A `zfs` that changes one thing at a time: a case has several daemons, each host in life but one of each, and
/// zfs-fuse has hung for ever when it was asked for several things at once. A stream that is sent can be what another
/// one receives, and takes no turn.
fn one_at_a_time(dir: &Path) -> Result<PathBuf> {
    let (program, lock) = (dir.join("bin/zfs-in-turn"), dir.join("bin/zfs.lock"));
    let turn = format!("exec flock --no-fork {} /usr/sbin/zfs \"$@\"", lock.display());
    fs::write(&program, format!("#!/bin/sh\n[ \"$1\" = send ] && exec /usr/sbin/zfs \"$@\"\n{turn}\n"))?;
    fs::set_permissions(&program, Permissions::from_mode(0o755))?;
    Ok(program)
}

/// For whoever has to find out why a ZFS hangs.
fn waits_of(pid: u32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let wait = |task: fs::DirEntry| {
        let said = |file: &str| fs::read_to_string(task.path().join(file)).unwrap_or_default();
        format!("{} {} {}", task.file_name().display(), said("comm").trim(), said("wchan"))
    };
    tasks.map(wait).collect()
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
