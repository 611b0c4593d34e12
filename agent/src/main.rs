//! `bootstash-agent`: the compute node's service.

mod manual;

use anyhow::{Context, Result};
use bootstash_agent::follow::Intervals;
use bootstash_agent::run::Agent;
use bootstash_daemon::config::{AgentConfig, load_agent};
use bootstash_daemon::instance::InstanceLock;
use bootstash_daemon::service_manager;
use bootstash_daemon::signals::{hold_hangup, on_hangup, shutdown_on_signal};
use bootstash_daemon::telemetry::{LogFormat, init_logging};
use bootstash_net::api::Joiner;
use bootstash_net::enrolment;
use bootstash_qemu::Qemu;
use bootstash_zfs::Programs;
use clap::{CommandFactory, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// The agent mostly waits: two threads run it, and few more its file accesses.
const WORKER_THREADS: usize = 2;
const BLOCKING_THREADS: usize = 8;

/// What does not end by then is left to the kernel; ZFS drops a stream whose pipe closes.
const STOP_DEADLINE: Duration = Duration::from_secs(8);

/// Keeps this node's copy of the boot caches up to date, and makes overlays on it
#[derive(Parser)]
#[command(name = "bootstash-agent", version)]
struct Args {
    /// Configuration file
    #[arg(long, global = true, value_name = "FILE", default_value = "/etc/bootstash/agent.toml")]
    config: PathBuf,
    /// How log lines look
    #[arg(long, global = true, value_enum, default_value_t)]
    log_format: LogFormat,
    /// What to do; serve where it is not given
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Subcommand)]
enum Verb {
    /// Make this node a member, once, with a token of `bootstash node invite`
    Join {
        /// The registrar, as https://storage:7430
        url: String,
        /// The token; where it is not given it is read from standard input, where others do not see it
        token: Option<String>,
    },
    /// Write the man pages into a directory (for packages)
    #[command(hide = true)]
    ManPages {
        /// The directory, which is made if it is missing
        directory: PathBuf,
    },
}

fn main() -> ExitCode {
    hold_hangup();
    let args = Args::parse();
    init_logging(args.log_format);
    match &args.verb {
        Some(Verb::Join { url, token }) => done(join(&args, url, token.as_deref())),
        Some(Verb::ManPages { directory }) => {
            let pages = manual::pages(Args::command());
            done(bootstash_manual::write(directory, &pages).map_err(Into::into))
        }
        None => run_to_the_end(&args),
    }
}

fn done(outcome: Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run_to_the_end(args: &Args) -> ExitCode {
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn join(args: &Args, url: &str, token: Option<&str>) -> Result<()> {
    let config = load_agent(&args.config)?;
    let token = enrolment::given_token(token)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let joining = runtime.block_on(enrolment::join(&config.identity_dir(), url, &token, Joiner::Agent))?;
    println!("{}", joining.text("start the agent, or restart it"));
    Ok(())
}

fn run(args: &Args) -> Result<()> {
    let config = load_agent(&args.config)?;
    let _lock = InstanceLock::acquire("agent", &config.state_dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let outcome = runtime.block_on(serve(&config));
    // A call that hangs in ZFS must not hold up the end.
    runtime.shutdown_background();
    outcome
}

async fn serve(config: &AgentConfig) -> Result<()> {
    let stop = shutdown_on_signal().context("cannot listen for signals")?;
    on_hangup(|| tracing::info!("SIGHUP: nothing is read again; restart the agent for a changed agent.toml"))
        .context("cannot listen for signals")?;
    let starting = service_manager::starting("mounting views", start(config, stop.clone()));
    let Some(agent) = stop.run_until_cancelled(starting).await else {
        return Ok(());
    };
    let agent = agent?;
    let telling = AbortOnDropHandle::new(tokio::spawn(agent.tell_service_manager()));
    let watchdog = AbortOnDropHandle::new(tokio::spawn(service_manager::watchdog(config.socket.clone())));
    let finished = agent.finish();
    tokio::pin!(finished);
    tokio::select! {
        ended = &mut finished => return Ok(ended?),
        () = stop.cancelled() => (),
    }
    drop((telling, watchdog));
    service_manager::stopping();
    let ended = tokio::time::timeout(STOP_DEADLINE, finished).await;
    Ok(ended.context("not all tasks ended in time; what they did is dropped")??)
}

async fn start(config: &AgentConfig, stop: CancellationToken) -> Result<Agent> {
    let zfs = bootstash_zfs::open(&Programs::given_or_found()?, config.dataset.pool()).await?;
    let qemu = Qemu::find()?;
    Ok(Agent::start(config, zfs, Arc::new(qemu), Intervals::default(), stop).await?)
}
