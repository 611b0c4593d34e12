//! The daemons over a real ZFS, without guests: caches are made up, everything from import to overlay is
//! real. One list of cases, run on zfs-fuse here and on OpenZFS in a guest.
//!
//! Each case has a cluster of its own in a pool that all share: one registrar and its nodes, in this
//! process, over loopback.

mod beside_receive;
mod capturer;
mod cases;
mod catch_up;
mod cluster;
mod faults;
mod faulty_proxy;
mod hanging;
mod mounts;
mod multicast;
mod overlay_rows;
mod overlays;
mod registrar_lost;
mod registrations;
mod shared_directory;

pub(crate) use capturer::{SyntheticCapturer, without_boots};
pub(crate) use cluster::{OverlayFiles, write_overlay};

use crate::lab::zfs_host::parallel_cases;
use crate::private_zfs;
use anyhow::Result;
use bootstash_daemon::config::MulticastConfig;
use libtest_mimic::{Arguments, Failed, Trial};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// Of all cases together, under emulation.
const LIMIT: Duration = Duration::from_secs(24 * 60);
/// Of a thousand registrations.
const LONG_LIMIT: Duration = Duration::from_secs(90 * 60);

/// Runs the cases that the command line selects, as a test program does; `dir` is where their ZFS lives.
pub fn on_real_zfs(dir: &Path) -> ExitCode {
    if let Some(served) = hanging::serve_if_asked() {
        return code(served.map(|()| ExitCode::SUCCESS));
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or_else(parallel_cases);
    if let Some(pool) = private_zfs::pool() {
        if std::env::var_os("RUST_LOG").is_some() {
            bootstash_daemon::telemetry::init_logging(bootstash_daemon::telemetry::LogFormat::Text);
        }
        return libtest_mimic::run(&arguments, trials(&pool, dir)).exit_code();
    }
    if arguments.list {
        return libtest_mimic::run(&arguments, trials("", dir)).exit_code();
    }
    private_zfs::run_again(dir, LIMIT)
}

/// Measures what a node needs to catch up; `dir` is where the ZFS lives.
pub fn measure_catching_up(dir: &Path) -> ExitCode {
    let Some(pool) = private_zfs::pool() else { return private_zfs::run_again(dir, LIMIT) };
    let measured = runtime().and_then(|runtime| runtime.block_on(catch_up::measure(&pool, &dir.join("c"))));
    code(measured.map(|()| ExitCode::SUCCESS))
}

/// Registers `count` images of tiny caches, and measures whether the last take longer than the first; `dir` is
/// where the ZFS lives.
pub fn measure_registrations(dir: &Path, count: usize) -> ExitCode {
    let Some(pool) = private_zfs::pool() else { return private_zfs::run_again(dir, LONG_LIMIT) };
    let measured =
        runtime().and_then(|runtime| runtime.block_on(registrations::measure(&pool, &dir.join("r"), count)));
    code(measured.map(|()| ExitCode::SUCCESS))
}

/// Makes and removes `count` overlays, and measures how many a second; `dir` is where the ZFS lives.
pub fn measure_overlays(dir: &Path, count: usize) -> ExitCode {
    let Some(pool) = private_zfs::pool() else { return private_zfs::run_again(dir, LIMIT) };
    let measured =
        runtime().and_then(|runtime| runtime.block_on(overlays::measure(&pool, &dir.join("o"), count)));
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

fn trials(pool: &str, dir: &Path) -> Vec<Trial> {
    let trial = |case: &cases::Case| {
        let (case, pool, dir) = (*case, pool.to_owned(), dir.join(case.name));
        Trial::test(case.name, move || {
            run(case, &pool, &dir).map_err(|error| Failed::from(format!("{error:?}")))
        })
    };
    let cases = cases::CASES.iter().chain(faults::CASES).chain(shared_directory::CASES).chain(mounts::CASES);
    let cases = cases.chain(beside_receive::CASES);
    cases.chain(registrar_lost::CASES).chain(multicast::CASES).map(trial).collect()
}

fn run(case: cases::Case, pool: &str, dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir)?;
    let root = format!("{pool}/{}", case.name).parse()?;
    runtime()?.block_on(async {
        let sends = multicast::CASES.iter().any(|sent| sent.name == case.name);
        let multicast = if sends { multicast::loopback()? } else { MulticastConfig::default() };
        let cluster = cluster::Cluster::start(root, dir, multicast).await?;
        let outcome = (case.run)(&cluster).await;
        cluster.stop().await;
        outcome
    })
}
