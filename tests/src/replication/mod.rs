//! The daemons over a real ZFS, without guests: caches are made up, everything from import to overlay is
//! real. One list of cases, run on zfs-fuse here and on OpenZFS in a guest.
//!
//! Each case has a cluster of its own in a pool that all share: one registrar and its nodes, in this
//! process, over loopback.

mod cable;
mod capturer;
mod cases;
mod catch_up;
mod cluster;
mod faults;
mod hanging;

pub(crate) use capturer::MadeUp;
pub(crate) use cluster::OverlayFiles;

use crate::lab::zfs_host::{ZfsHost, ZfsHostOptions, parallel_cases};
use anyhow::{Context, Result};
use libtest_mimic::{Arguments, Failed, Trial};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const POOL_BYTES: u64 = 2 << 30;
/// Of all cases together, under emulation.
const LIMIT: Duration = Duration::from_secs(20 * 60);
const POLL: Duration = Duration::from_millis(50);
/// Set in the process that runs inside the namespace of the ZFS: the pool.
const POOL_VARIABLE: &str = "BOOTSTASH_TEST_POOL";

/// Runs the cases that the command line selects, as a test program does; `dir` is where their ZFS lives.
pub fn on_real_zfs(dir: &Path) -> ExitCode {
    if let Some(served) = hanging::serve_if_asked() {
        return code(served.map(|()| ExitCode::SUCCESS));
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or_else(parallel_cases);
    if let Ok(pool) = std::env::var(POOL_VARIABLE) {
        if std::env::var_os("RUST_LOG").is_some() {
            bootstash::telemetry::init_logging(bootstash::telemetry::LogFormat::Text);
        }
        return libtest_mimic::run(&arguments, trials(&pool, dir)).exit_code();
    }
    if arguments.list {
        return libtest_mimic::run(&arguments, trials("", dir)).exit_code();
    }
    code(inside(dir))
}

/// Measures what it takes a node to catch up; `dir` is where the ZFS lives.
pub fn measure_catching_up(dir: &Path) -> ExitCode {
    let Ok(pool) = std::env::var(POOL_VARIABLE) else { return code(inside(dir)) };
    let measured = runtime().and_then(|runtime| runtime.block_on(catch_up::measure(&pool, &dir.join("c"))));
    code(measured.map(|()| ExitCode::SUCCESS))
}

fn code(outcome: Result<ExitCode>) -> ExitCode {
    outcome.unwrap_or_else(|error| {
        eprintln!("{error:?}");
        ExitCode::FAILURE
    })
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// Runs this program once more where the mounts of a ZFS of its own are seen.
fn inside(dir: &Path) -> Result<ExitCode> {
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
    let mut child = command.spawn().context("cannot enter the namespace of the ZFS")?;
    let deadline = Instant::now() + LIMIT;
    let status = loop {
        match child.try_wait()? {
            None if Instant::now() < deadline => std::thread::sleep(POLL),
            None => {
                // What waits for a ZFS that stands still ends with that.
                child.kill()?;
                break None;
            }
            ended => break ended,
        }
    };
    host.stop()?;
    std::fs::remove_dir_all(dir)?;
    let status = status.with_context(|| format!("the cases did not end within {} s", LIMIT.as_secs()))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn trials(pool: &str, dir: &Path) -> Vec<Trial> {
    let trial = |case: &cases::Case| {
        let (case, pool, dir) = (*case, pool.to_owned(), dir.join(case.name));
        Trial::test(case.name, move || {
            run(case, &pool, &dir).map_err(|error| Failed::from(format!("{error:?}")))
        })
    };
    cases::CASES.iter().chain(faults::CASES).map(trial).collect()
}

fn run(case: cases::Case, pool: &str, dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir)?;
    let root = format!("{pool}/{}", case.name).parse()?;
    runtime()?.block_on(async {
        let cluster = cluster::Cluster::start(root, dir).await?;
        let outcome = (case.run)(&cluster).await;
        cluster.stop().await;
        outcome
    })
}
