//! `bootstash-registrar`: see the crate's documentation.

mod manual;

use anyhow::Context;
use bootstash_base::error;
use bootstash_daemon::config;
use bootstash_daemon::telemetry::{LogFormat, init_logging};
use bootstash_daemon::{
    instance::InstanceLock,
    signals::{hold_hangup, on_hangup, shutdown_on_signal},
};
use bootstash_qemu::Qemu;
use bootstash_registrar::capture::GuestSlots;
use bootstash_registrar::download_limits::{DownloadLimits, Reloader};
use bootstash_registrar::register::QemuCapturer;
use bootstash_registrar::{ca, daemon};
use bootstash_zfs::Programs;
use clap::{CommandFactory, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// Registers VM images and publishes their boot caches to all compute nodes.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    /// Configuration file.
    #[arg(long, global = true, value_name = "FILE", default_value = "/etc/bootstash/registrar.toml")]
    config: PathBuf,
    /// Form of the log lines on standard error.
    #[arg(long, global = true, value_enum, default_value_t)]
    log_format: LogFormat,
    /// What to do; serve where it is not given.
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make this registrar's certificate authority and its own key, once
    Init,
    /// Write the man pages into a directory (for packages)
    #[command(hide = true)]
    ManPages {
        /// The directory, which is made if it is missing
        directory: PathBuf,
    },
}

fn main() -> ExitCode {
    hold_hangup();
    let cli = Cli::parse();
    init_logging(cli.log_format);
    match &cli.verb {
        Some(Verb::Init) => done(init(&cli)),
        Some(Verb::ManPages { directory }) => {
            let pages = manual::pages(Cli::command().name("bootstash-registrar"));
            done(bootstash_manual::write(directory, &pages).map_err(Into::into))
        }
        None => match serve(cli) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tracing::error!(error = %error::Chain(error.as_ref()), "the registrar ends");
                ExitCode::FAILURE
            }
        },
    }
}

fn done(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", error::Chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn init(cli: &Cli) -> anyhow::Result<()> {
    let config = config::load_registrar(&cli.config)?;
    let dir = config.identity_dir();
    let made = ca::init(&dir, config.certificate_lifetime)?;
    let dir = dir.display();
    if made {
        println!("made the certificate authority in {dir}; keep a copy of that directory in a safe place");
    } else {
        println!("there is a certificate authority in {dir}: unchanged");
    }
    Ok(())
}

fn serve(cli: Cli) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let outcome = runtime.block_on(run(cli));
    // A call that hangs in ZFS must not hold up the end.
    runtime.shutdown_background();
    outcome
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let stop = shutdown_on_signal().context("cannot listen for signals")?;
    let config = config::load_registrar(&cli.config)?;
    let _lock = InstanceLock::acquire("registrar", &config.state_dir)?;
    let zfs = bootstash_zfs::open(&Programs::given_or_found()?, config.dataset.pool()).await?;
    let qemu = Qemu::find()?;
    // The answer to whether KVM works can take seconds; have it before the first image comes.
    let probe = qemu.clone();
    let wanted = config.capture.accelerator;
    tokio::spawn(async move {
        if let Err(error) = probe.accelerator(wanted).await {
            tracing::warn!(error = %error::Chain(&error), "images cannot be booted");
        }
    });
    let capturer =
        Arc::new(QemuCapturer { qemu, config: config.capture.clone(), slots: GuestSlots::of_this_host() });
    let serving = DownloadLimits::new(&config.serving);
    let mut reloader = Reloader::new(cli.config, config.clone(), serving.clone());
    on_hangup(move || reloader.reload_and_tell()).context("cannot listen for signals")?;
    daemon::run_with_limits(config, serving, zfs, capturer, stop).await
}
