//! Simulates the whole system in virtual time, seed by seed.

use anyhow::Result;
use bootstash_tests::sim::{self, Outcome, ScratchDir};
use clap::Parser;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How often progress is printed.
const EVERY: Duration = Duration::from_secs(10);

/// Simulates the whole system in virtual time, seed by seed.
#[derive(Debug, Parser)]
struct Cli {
    /// The number of seeds to run.
    #[arg(long, default_value_t = 500)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Run this seed alone.
    #[arg(long)]
    seed: Option<u64>,
    /// Print the trace of --seed.
    #[arg(long, requires = "seed")]
    verbose: bool,
    /// Run each seed twice; both traces must be the same.
    #[arg(long)]
    twice: bool,
    /// How many seeds run in parallel.
    #[arg(long, default_value_t = threads())]
    threads: usize,
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    if cli.verbose && std::env::var_os("RUST_LOG").is_some() {
        bootstash_daemon::telemetry::init_logging(bootstash_daemon::telemetry::LogFormat::Text);
    }
    let scratch = ScratchDir::take()?;
    let (first, count) = cli.seed.map_or((cli.first, cli.seeds), |seed| (seed, 1));
    let bad = run_all(&scratch, first, count, &cli)?;
    println!("{count} seeds, {bad} violations");
    Ok(if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How many seeds broke a promise.
fn run_all(scratch: &ScratchDir, first: u64, count: u64, cli: &Cli) -> Result<u64> {
    let next = AtomicU64::new(first);
    let (sender, outcomes) = mpsc::channel();
    std::thread::scope(|scope| {
        for thread in 0..cli.threads.max(1) {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                stay_on(thread % threads());
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count || sender.send(run_one(seed, scratch, cli)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        collect(&outcomes, count)
    })
}

/// Keeps this thread, and those it starts, on one processor: a seed's threads wait for each other all the
/// time, and wake each other sooner there. It is as well if that cannot be.
fn stay_on(processor: usize) {
    let mut one = CpuSet::new();
    if one.set(processor).is_ok() {
        let _ = sched_setaffinity(Pid::from_raw(0), &one);
    }
}

fn run_one(seed: u64, scratch: &ScratchDir, cli: &Cli) -> Result<Outcome> {
    let mut outcome = sim::run(seed, scratch, cli.verbose)?;
    if cli.twice && sim::run(seed, scratch, false)? != outcome {
        outcome.violations.push("another time something else happens".to_owned());
    }
    Ok(outcome)
}

fn collect(outcomes: &mpsc::Receiver<Result<Outcome>>, count: u64) -> Result<u64> {
    let (started, mut said, mut done, mut bad) = (Instant::now(), Instant::now(), 0, 0);
    for outcome in outcomes {
        let outcome = outcome?;
        done += 1;
        if !outcome.violations.is_empty() {
            bad += 1;
            show(&outcome);
        }
        if said.elapsed() >= EVERY || done == count {
            said = Instant::now();
            let rate = done as f64 / started.elapsed().as_secs_f64();
            eprintln!("{done} of {count} seeds, {rate:.1} a second, {bad} with violations");
        }
    }
    Ok(bad)
}

fn show(outcome: &Outcome) {
    println!("seed {}:", outcome.seed);
    for violation in &outcome.violations {
        println!("    {violation}");
    }
    println!("    to see it: cargo run --workspace --bin sim -- --seed {} --verbose", outcome.seed);
}
