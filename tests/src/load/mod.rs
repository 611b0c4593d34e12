//! Load on the registrar: many nodes that come back at once and miss the same deltas, with and without
//! help from each other, with and without a rate limit.

mod catalog;
mod fleet;
pub(crate) mod null_zfs;
mod table;

pub use catalog::{CatalogFigures, measure as measure_catalog, render_catalog};
pub use fleet::Fleet;
pub use table::render;

use anyhow::Result;
use bootstash_agent::follow::Intervals;
use bootstash_net::download_limits::Kind;
use serde::Serialize;
use std::num::NonZeroU64;
use std::time::Instant;

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// How many nodes take part.
    pub nodes: usize,
    /// Deltas that each misses.
    pub deltas: usize,
    /// Whether nodes serve each other.
    pub peers: bool,
    /// Whether the registrar sends nodes to peers wherever it can.
    pub prefer_peers: bool,
    /// Downloads at once on the registrar.
    pub downloads: usize,
    /// What the registrar may send, in bytes a second.
    pub rate_bytes_per_second: Option<NonZeroU64>,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// How many nodes take part.
    pub nodes: usize,
    /// Deltas that each missed.
    pub deltas: usize,
    /// Their size together.
    pub deltas_bytes: u64,
    /// Whether nodes served each other.
    pub peers: bool,
    /// Whether the registrar sent nodes to peers wherever it could.
    pub prefer_peers: bool,
    /// Downloads that it let be under way at once.
    pub downloads_limit: usize,
    /// What it might send, in bytes a second.
    pub rate_bytes_per_second: Option<u64>,
    /// From the moment when all nodes started until the last was in step.
    pub seconds: f64,
    /// What the registrar sent.
    pub registrar_bytes: u64,
    /// What nodes had from each other.
    pub peers_bytes: u64,
    /// The most downloads under way at once on the registrar.
    pub most_downloads: usize,
    /// How often it told a node to retry later.
    pub refused: u64,
}

/// Runs one scenario.
///
/// # Errors
/// When not all nodes come in step.
pub async fn run(scenario: Scenario, intervals: Intervals) -> Result<Figures> {
    let mut fleet = Fleet::start(scenario.nodes, scenario.peers, intervals).await?;
    fleet.power_off().await?;
    for number in 0..scenario.deltas {
        fleet.register(&format!("image{number}")).await?;
    }
    let downloads = fleet.serving.downloads.clone();
    let sent = || downloads.served_bytes(Kind::Delta) + downloads.served_bytes(Kind::Full);
    fleet.limit(&scenario);
    let (before, refused) = (sent(), downloads.refusals());
    downloads.forget_most();
    let started = Instant::now();
    fleet.power_on().await?;
    fleet.in_step().await?;
    let figures = Figures {
        nodes: scenario.nodes,
        deltas: scenario.deltas,
        deltas_bytes: fleet.deltas_bytes().await?,
        peers: scenario.peers,
        prefer_peers: scenario.prefer_peers,
        downloads_limit: scenario.downloads,
        rate_bytes_per_second: scenario.rate_bytes_per_second.map(NonZeroU64::get),
        seconds: started.elapsed().as_secs_f64(),
        registrar_bytes: sent() - before,
        peers_bytes: fleet.from_peers_bytes(),
        most_downloads: downloads.most(),
        refused: downloads.refusals() - refused,
    };
    fleet.stop().await?;
    Ok(figures)
}
