//! What is sent to all nodes at once, over loopback.

use super::capturer::{CACHE_BYTES, cache_of};
use super::cases::cases;
use super::cluster::Cluster;
use anyhow::{Context, Result, ensure};
use bootstash_daemon::config::{MulticastConfig, MulticastReceiverConfig};
use std::net::UdpSocket;
use std::num::NonZeroU64;

cases! {
    what_is_sent_to_all_is_heard_by_all,
    who_is_told_not_to_listen_fetches,
    one_node_alone_fetches_at_once,
    a_doctor_tells_whether_a_node_hears,
}

/// Under emulation more would be lost than received.
const RATE: NonZeroU64 = NonZeroU64::new(5_000_000).unwrap();

/// A group with a port of its own: cases run beside each other.
pub(super) fn loopback() -> Result<MulticastConfig> {
    let port = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
    let group = format!("239.77.66.1:{port}").parse()?;
    let interface = Some("lo".to_owned());
    Ok(MulticastConfig { group: Some(group), interface, rate_bytes_per_second: RATE, ..Default::default() })
}

/// Nodes that have the first image, under a registrar that sends to all.
async fn nodes_with_one_image(cluster: &Cluster, nodes: &[(&str, bool)]) -> Result<()> {
    cluster.register("one").await?;
    for (node, enabled) in nodes {
        cluster.start_node_with(node, MulticastReceiverConfig { enabled: *enabled, interface: None }).await?;
    }
    for (node, _) in nodes {
        cluster.in_step(node).await?;
    }
    Ok(())
}

async fn metric(cluster: &Cluster, daemon: &str, name: &str) -> Result<f64> {
    Ok(cluster.scrape(daemon).await?.value(name).unwrap_or_default())
}

/// What the registrar and its nodes had done, in bytes and sessions.
struct Traffic {
    fetched: f64,
    source: f64,
    sessions: Vec<f64>,
}

async fn traffic(cluster: &Cluster, nodes: &[&str]) -> Result<Traffic> {
    let source = "bootstash_registrar_multicast_sent_bytes_total{kind=\"source\"}";
    let parts = "bootstash_registrar_multicast_unicast_bytes_total";
    let mut sessions = Vec::new();
    for node in nodes {
        sessions.push(metric(cluster, node, "bootstash_agent_multicast_sessions_total").await?);
    }
    // What gets lost on a busy host is fetched, as parts.
    let fetched = cluster.served_bytes().await? - metric(cluster, "registrar", parts).await?;
    Ok(Traffic { fetched, source: metric(cluster, "registrar", source).await?, sessions })
}

/// A second image comes by one transmission to those that listen, and by a fetch to each of `by_itself`.
async fn ensure_sent_once_and_received(
    cluster: &Cluster,
    listeners: &[&str],
    by_itself: &[&str],
) -> Result<()> {
    let before = traffic(cluster, listeners).await?;
    cluster.register("two").await?;
    for node in listeners.iter().chain(by_itself) {
        cluster.in_step(node).await?;
    }
    let after = traffic(cluster, listeners).await?;
    let delta = CACHE_BYTES as f64 / 2.0..CACHE_BYTES as f64 * 1.2;
    ensure!(delta.contains(&(after.source - before.source)), "{} were sent", after.source - before.source);
    let fetched = after.fetched - before.fetched;
    ensure!(fetched <= delta.end * by_itself.len() as f64, "{fetched} bytes were fetched");
    let more = before.sessions.iter().zip(&after.sessions).map(|(before, after)| after - before);
    ensure!(more.clone().all(|more| more == 1.0), "sessions: {:?}", more.collect::<Vec<_>>());
    for node in listeners.iter().chain(by_itself) {
        let overlay = cluster.overlay(node, "two").await?;
        let cache = std::fs::read(&overlay.cache).with_context(|| overlay.cache.display().to_string())?;
        ensure!(cache == cache_of(&cluster.file("two.raw")), "{node} holds another cache");
    }
    Ok(())
}

async fn what_is_sent_to_all_is_heard_by_all(cluster: &Cluster) -> Result<()> {
    let nodes = ["node1", "node2", "node3"];
    nodes_with_one_image(cluster, &nodes.map(|node| (node, true))).await?;
    ensure_sent_once_and_received(cluster, &nodes, &[]).await
}

async fn who_is_told_not_to_listen_fetches(cluster: &Cluster) -> Result<()> {
    nodes_with_one_image(cluster, &[("node1", true), ("opted-out", false), ("node2", true)]).await?;
    ensure_sent_once_and_received(cluster, &["node1", "node2"], &["opted-out"]).await?;
    ensure!(metric(cluster, "opted-out", "bootstash_agent_multicast_sessions_total").await? == 0.0);
    Ok(())
}

async fn one_node_alone_fetches_at_once(cluster: &Cluster) -> Result<()> {
    nodes_with_one_image(cluster, &[("node1", true)]).await?;
    cluster.register("two").await?;
    cluster.in_step("node1").await?;
    ensure!(metric(cluster, "node1", "bootstash_agent_multicast_sessions_total").await? == 0.0);
    let ended = "bootstash_registrar_multicast_sessions_total{outcome=\"finished\"}";
    ensure!(metric(cluster, "registrar", ended).await? == 0.0);
    Ok(())
}

async fn a_doctor_tells_whether_a_node_hears(cluster: &Cluster) -> Result<()> {
    nodes_with_one_image(cluster, &[("node1", true)]).await?;
    let findings = cluster.examine("node1").await?;
    ensure!(findings.reached && findings.expected > 1000, "{findings:?}");
    ensure!(findings.received > 0 && findings.received <= findings.expected, "{findings:?}");
    Ok(())
}
