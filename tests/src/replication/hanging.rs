//! Storage that hangs, as that of a file server does which is gone: no call is ever answered.
//!
//! It is served by a process of its own: one that waits for itself could not even be killed.

use crate::lab::run::{Call, Process};
use crate::lab::wait;
use anyhow::{Context, Result, bail};
use fuser::{
    Errno, FileHandle, Filesystem, INodeNo, OpenFlags, ReplyAttr, ReplyEntry, ReplyOpen, Request, Session,
};
use parking_lot::Mutex;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Set in the process that serves: the directory to mount over.
const DIRECTORY_VARIABLE: &str = "BOOTSTASH_TEST_HANG";
const MOUNT_DEADLINE: Duration = Duration::from_secs(20);

/// While it lives, whatever touches the directory hangs; then it fails, and the directory is as before.
#[derive(Debug)]
pub(super) struct HangingMount {
    directory: PathBuf,
    process: Process,
}

impl HangingMount {
    /// Mounts over the directory.
    pub(super) fn over(directory: &Path) -> Result<Self> {
        let log = directory.with_extension("log");
        let mut process =
            Call::new(std::env::current_exe()?).env(DIRECTORY_VARIABLE, directory).start(&log)?;
        wait::until("the file system that hangs", MOUNT_DEADLINE, || {
            if !process.is_running() {
                bail!("it ended: {}", std::fs::read_to_string(&log)?);
            }
            Ok(is_mounted(directory)?.then_some(()))
        })?;
        Ok(Self { directory: directory.to_owned(), process })
    }
}

impl Drop for HangingMount {
    fn drop(&mut self) {
        self.process.kill();
        if let Err(error) = Call::new("umount").args(["-l"]).args([&self.directory]).output() {
            eprintln!("{error:#}");
        }
    }
}

fn is_mounted(directory: &Path) -> Result<bool> {
    let mounts = std::fs::read_to_string("/proc/self/mounts")?;
    Ok(mounts.lines().filter_map(|line| line.split(' ').nth(1)).any(|at| Path::new(at) == directory))
}

/// Serves until it is killed, in the process that is to.
pub(super) fn serve_if_asked() -> Option<Result<()>> {
    let directory = std::env::var_os(DIRECTORY_VARIABLE)?;
    let session = Session::new(HangingFs::default(), directory, &fuser::Config::default());
    Some(session.and_then(Session::run).context("cannot serve storage that hangs"))
}

/// Keeps what would answer; dropped, that would answer by itself.
#[derive(Default)]
struct HangingFs(Mutex<Vec<Box<dyn FnOnce() + Send>>>);

impl HangingFs {
    fn keep(&self, answer: impl FnOnce() + Send + 'static) {
        self.0.lock().push(Box::new(answer));
    }
}

impl Filesystem for HangingFs {
    fn lookup(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEntry) {
        self.keep(|| reply.error(Errno::EIO));
    }

    fn getattr(&self, _: &Request, _: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        self.keep(|| reply.error(Errno::EIO));
    }

    fn opendir(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.keep(|| reply.error(Errno::EIO));
    }
}
