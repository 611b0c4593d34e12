//! Cases of what breaks on the way, on disk and in ZFS: each heals unaided, or says what it needs.

use super::capturer::{CACHE_BYTES, cache_of};
use super::cases::cases;
use super::cluster::Cluster;
use super::faulty_proxy::Fault;
use anyhow::{Context, Result, ensure};
use bootstash_net::api::AgentState;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// Somewhere in the middle of a delta.
const MIDDLE: u64 = CACHE_BYTES as u64 / 2;

/// More than a node meets while somebody looks at it.
const MANY: usize = 10_000;

cases! {
    a_connection_that_falls_silent_is_given_up,
    a_bit_that_flips_on_the_way_is_seen,
    a_registrar_that_answers_with_errors_is_waited_for,
    a_delta_that_rots_on_the_registrar_is_made_anew_while_all_run,
    a_delta_whose_file_is_gone_is_made_anew_while_all_run,
}

/// Half open: nobody ends the connection, and nothing comes on it any more.
async fn a_connection_that_falls_silent_is_given_up(cluster: &Cluster) -> Result<()> {
    stopped_node_that_lacks_an_image(cluster).await?;
    cluster.proxy.plan(Fault::SilentAfter(MIDDLE));
    start_and_ensure_recovered(cluster).await
}

async fn a_bit_that_flips_on_the_way_is_seen(cluster: &Cluster) -> Result<()> {
    stopped_node_that_lacks_an_image(cluster).await?;
    cluster.proxy.plan(Fault::FlippedAt(MIDDLE));
    start_and_ensure_recovered(cluster).await
}

async fn a_registrar_that_answers_with_errors_is_waited_for(cluster: &Cluster) -> Result<()> {
    stopped_node_that_lacks_an_image(cluster).await?;
    for _ in 0..MANY {
        cluster.proxy.plan(Fault::ServerError);
    }
    cluster.start_node("node1").await?;
    let waiting = cluster.until("the node says what it met", async || {
        match cluster.node_status("node1").await?.state {
            AgentState::Waiting { error } => Ok(Some(error)),
            _ => Ok(None),
        }
    });
    ensure!(waiting.await?.contains("500") && cluster.proxy.planned() < MANY);
    cluster.proxy.clear();
    ensure_recovered(cluster).await
}

async fn a_delta_that_rots_on_the_registrar_is_made_anew_while_all_run(cluster: &Cluster) -> Result<()> {
    stopped_node_that_lacks_an_image(cluster).await?;
    let newest = newest_delta(cluster)?;
    let file = std::fs::File::options().read(true).write(true).open(&newest)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, MIDDLE)?;
    file.write_all_at(&[byte[0] ^ 1], MIDDLE)?;
    let rotten = std::fs::read(&newest)?;
    let before = cluster.guids(&cluster.volume("node1")?).await?;
    cluster.start_node("node1").await?;
    let problem = cluster.until("the registrar knows of the node's problem", async || {
        Ok(cluster.nodes().await?.into_iter().find_map(|node| node.problem))
    });
    let problem = problem.await?;
    ensure!(problem.contains("makes the file anew"), "{problem}");
    ensure!(cluster.guids(&cluster.volume("node1")?).await? == before, "something was applied");
    ensure_recovered(cluster).await?;
    ensure!(std::fs::read(&newest)? != rotten, "it was not made anew");
    healed(cluster).await
}

async fn a_delta_whose_file_is_gone_is_made_anew_while_all_run(cluster: &Cluster) -> Result<()> {
    stopped_node_that_lacks_an_image(cluster).await?;
    let newest = newest_delta(cluster)?;
    std::fs::remove_file(&newest)?;
    cluster.start_node("node1").await?;
    ensure_recovered(cluster).await?;
    ensure!(newest.exists(), "it was not made anew");
    healed(cluster).await
}

/// The newest file of a difference.
fn newest_delta(cluster: &Cluster) -> Result<PathBuf> {
    let files = std::fs::read_dir(cluster.file("registrar/deltas"))?.flatten().map(|entry| entry.path());
    let is_full =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"full-"));
    files.filter(|path| !is_full(path)).max().context("there are no deltas")
}

/// No node has a problem any more.
async fn healed(cluster: &Cluster) -> Result<()> {
    cluster
        .until("no node has a problem", async || {
            Ok(cluster.nodes().await?.iter().all(|node| node.problem.is_none()).then_some(()))
        })
        .await
}

/// A node that is off, and lacks one image.
async fn stopped_node_that_lacks_an_image(cluster: &Cluster) -> Result<()> {
    cluster.register("one").await?;
    cluster.start_node("node1").await?;
    cluster.in_step("node1").await?;
    cluster.stop_node("node1").await?;
    cluster.register("two").await
}

async fn start_and_ensure_recovered(cluster: &Cluster) -> Result<()> {
    cluster.start_node("node1").await?;
    ensure_recovered(cluster).await
}

/// All that was planned has happened, and the node has every byte.
async fn ensure_recovered(cluster: &Cluster) -> Result<()> {
    cluster.in_step("node1").await?;
    ensure!(cluster.proxy.planned() == 0, "nothing happened");
    let overlay = cluster.overlay("node1", "two").await?;
    ensure!(std::fs::read(&overlay.cache)? == cache_of(&cluster.file("two.raw")), "wrong bytes");
    ensure!(std::fs::read_dir(cluster.file("node1/fetch"))?.count() == 0, "a fetched file was left");
    Ok(())
}
