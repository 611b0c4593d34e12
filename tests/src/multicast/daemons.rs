//! What runs on the hosts: a registrar and an agent as they are, but over a ZFS that stores nothing.

use crate::load::null_zfs::NullZfs;
use crate::replication::{OverlayFiles, SyntheticCapturer};
use anyhow::{Context, Result};
use bootstash_agent::follow::Intervals;
use bootstash_agent::run::Agent;
use bootstash_daemon::config::{load_agent, load_registrar};
use bootstash_daemon::signals::shutdown_on_signal;
use bootstash_daemon::telemetry::{LogFormat, init_logging};
use bootstash_registrar::daemon;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::unbounded_channel;

/// Runs a registrar whose deltas all carry `delta_bytes`, until it is told to end.
///
/// # Errors
/// When it cannot start, or breaks.
pub fn registrar(config: &Path, delta_bytes: u64) -> Result<()> {
    init_logging(LogFormat::Text);
    let zfs = Arc::new(NullZfs::new().sending(delta_bytes));
    Runtime::new()?.block_on(async {
        let stop = shutdown_on_signal()?;
        daemon::run(load_registrar(config)?, zfs, Arc::new(SyntheticCapturer::default()), stop).await
    })
}

/// Runs an agent until it is told to end. Each stream it received is a line of JSON on standard output.
///
/// # Errors
/// When it cannot start, or breaks.
pub fn node(config: &Path) -> Result<()> {
    init_logging(LogFormat::Text);
    let (arrivals, mut arrived) = unbounded_channel();
    let zfs = Arc::new(NullZfs::new().telling(arrivals));
    Runtime::new()?.block_on(async {
        let stop = shutdown_on_signal()?;
        let (config, overlays) = (load_agent(config)?, Arc::new(OverlayFiles));
        let agent = Agent::start(&config, zfs, overlays, Intervals::default(), stop.clone()).await?;
        tokio::spawn(async move {
            while let Some(arrival) = arrived.recv().await {
                writeln!(std::io::stdout(), "{}", serde_json::to_string(&arrival)?)?;
            }
            anyhow::Ok(())
        });
        agent.finish().await.context("the agent broke")
    })
}
