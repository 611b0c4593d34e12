//! `bench-load`: two hundred nodes that come back at once, and what that costs the registrar.

use anyhow::Result;
use bootstash_agent::follow::Intervals;
use bootstash_tests::demo::report;
use bootstash_tests::load::{self, Scenario};
use std::num::NonZeroU64;

const RATE: Option<NonZeroU64> = NonZeroU64::new(100_000_000);

fn main() -> Result<()> {
    let plain = Scenario {
        nodes: 200,
        deltas: 10,
        peers: false,
        prefer_peers: false,
        downloads: 16,
        rate_bytes_per_second: None,
    };
    let scenarios = [
        plain,
        Scenario { peers: true, ..plain },
        Scenario { peers: true, prefer_peers: true, ..plain },
        Scenario { rate_bytes_per_second: RATE, ..plain },
        Scenario { peers: true, prefer_peers: true, rate_bytes_per_second: RATE, ..plain },
    ];
    let runtime = tokio::runtime::Runtime::new()?;
    let mut all = Vec::new();
    for scenario in scenarios {
        println!("{} nodes miss {} deltas: {scenario:?}", scenario.nodes, scenario.deltas);
        all.push(runtime.block_on(load::run(scenario, Intervals::default()))?);
    }
    let file = report::write("bench/load.json", &all)?;
    println!("\n{}\n\nAs JSON: {}", load::render(&all), file.display());
    Ok(())
}
