//! One seed, from an empty pool to the end.

use super::model::Model;
use super::network::FaultRates;
use super::scratch::ScratchDir;
use super::time;
use super::trace::Trace;
use super::world::World;
use anyhow::{Context, Result};
use std::sync::Arc;
use std::time::Duration;

/// A seed that takes longer, in real time, hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// How the clocks of every fourth seed go.
const COARSE_TICK_MS: i64 = 5 * 60_000;

/// What came of a seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// Promises that were broken.
    pub violations: Vec<String>,
    /// The digest of all that happened, in order.
    pub digest: String,
    /// How many lines that were.
    pub lines: u64,
    /// How long it took in virtual time, in milliseconds.
    pub virtual_ms: u64,
}

/// Runs a seed in a thread of its own; with `shown`, prints what happens. Where the simulation cannot go on,
/// that is a violation too: nothing it does may fail.
///
/// # Errors
/// When its files or its thread cannot be had.
pub fn run(seed: u64, scratch: &ScratchDir, shown: bool) -> Result<Outcome> {
    let model = Model::new(Trace::new(shown));
    let dir = scratch.dir(seed);
    std::fs::create_dir_all(&dir).context("cannot make the directory of a seed")?;
    let lived = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name(format!("seed {seed}"));
        anyhow::Ok(thread.spawn_scoped(scope, || in_runtime(seed, scratch, &model))?.join())
    })?;
    std::fs::remove_dir_all(&dir).context("cannot remove the files of a seed")?;
    let virtual_ms = match lived {
        Ok(Ok(virtual_ms)) => virtual_ms,
        Ok(Err(error)) => stuck(&model, &format!("{error:#}")),
        Err(_) => stuck(&model, "a panic"),
    };
    let (digest, lines) = model.trace.digest();
    Ok(Outcome { seed, violations: model.violations(), digest, lines, virtual_ms })
}

fn stuck(model: &Model, why: &str) -> u64 {
    model.violated(format_args!("the simulation cannot go on: {why}"));
    0
}

fn in_runtime(seed: u64, scratch: &ScratchDir, model: &Arc<Model>) -> Result<u64> {
    fastrand::seed(seed);
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).max_blocking_threads(1).build()?;
    runtime.block_on(live(seed, scratch, model))
}

async fn live(seed: u64, scratch: &ScratchDir, model: &Arc<Model>) -> Result<u64> {
    time::begin(if seed.is_multiple_of(4) { COARSE_TICK_MS } else { 1 });
    let started = std::time::Instant::now();
    let mut world = World::new(seed, &scratch.dir(seed), &scratch.bases(), model).await?;
    world.begin();
    for _ in 0..world.rng.draw(|rng| rng.u32(25..70)) {
        let gap_ms = world.draw_gap_ms();
        world.wait(gap_ms, gap_ms).await;
        let event = world.draw_event();
        world.rng.note(format_args!("{event:?}"));
        world.happen(event).await?;
        world.check().await;
        if !model.violations().is_empty() {
            return Ok(world.now_ms());
        }
        anyhow::ensure!(started.elapsed() < LIMIT, "seed {seed} takes too long");
    }
    world.end().await?;
    Ok(world.now_ms())
}

impl World {
    /// Everything starts; some join later.
    fn begin(&self) {
        self.storage.start();
        for node in &self.nodes {
            let (node, rng) = (Arc::clone(node), Arc::clone(&self.rng));
            let later_ms = if rng.happens(300) { rng.draw(|rng| rng.u64(0..600_000)) } else { 0 };
            tokio::spawn(async move {
                rng.pause(later_ms, later_ms).await;
                if node.is_down() {
                    node.start();
                }
            });
        }
        self.network.set_fault_rates(FaultRates::default());
    }
}
