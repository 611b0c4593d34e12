//! The first process of a host: it arranges the host's mounts, then holds its namespaces.
//!
//! When it ends, the kernel ends every process of the host and removes its mounts and network.
//! It ends with its builder: it listens on a pipe which the builder holds, so that a lab whose
//! builder was killed removes itself, unless it was told to stay.

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;

/// What a host is to look like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostPlan {
    /// Its host name.
    pub name: String,
    /// Directories of the lab, and where this host sees them; both exist.
    pub binds: Vec<(PathBuf, PathBuf)>,
}

/// The line that lets a host outlive its builder.
pub const STAY: &str = "stay";
/// The line by which a host says that it is arranged.
pub const READY: &str = "ready";

/// Runs as the first process of a host: reads a [`HostPlan`] as one line of JSON from standard
/// input, answers [`READY`], and ends when standard input ends without a [`STAY`].
///
/// # Errors
/// When the host cannot be arranged.
pub fn run_init() -> Result<()> {
    let children = SigSet::from(Signal::SIGCHLD);
    children.thread_block()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    arrange(&serde_json::from_str(&line).context("the builder ended before it said what to build")?)?;
    writeln!(io::stdout(), "{READY}")?;
    std::thread::spawn(end_with_builder);
    loop {
        children.wait()?;
        reap();
    }
}

fn arrange(plan: &HostPlan) -> Result<()> {
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).context("making mounts private")?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), flags, none).context("mounting /proc")?;
    fs::write("/proc/sys/kernel/hostname", &plan.name).context("setting the host name")?;
    for (from, to) in &plan.binds {
        mount(Some(from), to, none, MsFlags::MS_BIND, none)
            .with_context(|| format!("binding {} to {}", from.display(), to.display()))?;
    }
    Ok(())
}

/// What the builder says after the plan: nothing, or [`STAY`].
fn end_with_builder() {
    let stays = io::stdin().lock().lines().map_while(Result::ok).any(|line| line == STAY);
    if !stays {
        std::process::exit(0);
    }
}

/// Takes the dead whose parents died before them.
fn reap() {
    while !matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive) | Err(_)) {}
}
