//! What a node needs to catch up over a real ZFS: one delta, ten, fifty, and the whole volume; and many tiny ones.

use super::capturer::TINY_CACHE_BYTES;
use super::cluster::Cluster;
use crate::demo::narrate::size;
use crate::demo::report;
use crate::demo::table::{finish, new};
use anyhow::Result;
use serde::Serialize;
use std::path::Path;
use std::time::Instant;

const STEPS: [usize; 3] = [1, 10, 50];
/// Of caches of a cluster each.
const TINY: usize = 250;

/// What one catching up took.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct CatchUp {
    /// Deltas that the node missed; none for a node that had nothing.
    deltas: Option<usize>,
    seconds: f64,
    registrar_bytes: f64,
}

/// Measures in `dir`, below `pool`, and prints what it found.
pub(super) async fn measure(pool: &str, dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir)?;
    let cluster = Cluster::start(format!("{pool}/catch-up").parse()?, dir, Default::default()).await?;
    cluster.register("first").await?;
    cluster.start_node("node1").await?;
    cluster.in_step("node1").await?;
    let mut all = Vec::new();
    for deltas in STEPS {
        cluster.stop_node("node1").await?;
        for number in 0..deltas {
            cluster.register(&format!("image{deltas}-{number}")).await?;
        }
        all.push(timed(&cluster, "node1", Some(deltas)).await?);
    }
    all.push(timed(&cluster, "node2", None).await?);
    cluster.stop().await;
    let tiny = measure_tiny(pool, &dir.join("tiny")).await?;
    println!("{TINY} deltas of caches of {} KiB: {:.1} s", TINY_CACHE_BYTES >> 10, tiny.seconds);
    all.push(tiny);
    let file = report::write("bench/catch-up.json", &all)?;
    println!("{}\n\nAs JSON: {}", render(&all), file.display());
    Ok(())
}

async fn measure_tiny(pool: &str, dir: &Path) -> Result<CatchUp> {
    std::fs::create_dir_all(dir)?;
    let root = format!("{pool}/tiny").parse()?;
    let cluster = Cluster::start_with_caches(root, dir, Default::default(), TINY_CACHE_BYTES).await?;
    cluster.register("first").await?;
    cluster.start_node("node1").await?;
    cluster.in_step("node1").await?;
    cluster.stop_node("node1").await?;
    for number in 0..TINY {
        cluster.register(&format!("image{number}")).await?;
    }
    let measured = timed(&cluster, "node1", Some(TINY)).await;
    cluster.stop().await;
    measured
}

async fn timed(cluster: &Cluster, node: &str, deltas: Option<usize>) -> Result<CatchUp> {
    let (before, started) = (cluster.served_bytes().await?, Instant::now());
    cluster.start_node(node).await?;
    cluster.in_step(node).await?;
    let (seconds, sent) = (started.elapsed().as_secs_f64(), cluster.served_bytes().await? - before);
    Ok(CatchUp { deltas, seconds, registrar_bytes: sent })
}

fn render(all: &[CatchUp]) -> String {
    let mut table = new(["DELTAS MISSED", "SECONDS", "FROM REGISTRAR"]);
    for one in all {
        let missed = one.deltas.map_or_else(|| "everything".to_owned(), |deltas| deltas.to_string());
        table.add_row([missed, format!("{:.1}", one.seconds), size(one.registrar_bytes as u64)]);
    }
    finish(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_each() {
        let one = |deltas| CatchUp { deltas, seconds: 1.25, registrar_bytes: 1048576.0 };
        let text = render(&[one(Some(10)), one(None)]);
        assert!(text.contains("10") && text.contains("everything") && text.contains("1.0 MiB"), "{text}");
    }
}
