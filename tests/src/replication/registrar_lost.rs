//! Cases of a registrar that lost what it had, or has it from a backup.

use super::capturer::{CACHE_BYTES, cache_of};
use super::cases::cases;
use super::cluster::Cluster;
use super::faulty_proxy::Fault;
use anyhow::{Context, Result, ensure};

cases! {
    a_registrar_restored_from_a_backup_destroys_nothing,
    a_registrar_that_lost_everything_gets_it_back_from_a_node,
    a_restore_that_is_cut_leaves_an_empty_volume_and_can_be_done_again,
}

async fn a_registrar_restored_from_a_backup_destroys_nothing(cluster: &Cluster) -> Result<()> {
    cluster.register("one").await?;
    cluster.register("two").await?;
    cluster.start_node("node1").await?;
    cluster.in_step("node1").await?;
    let before = cluster.guids(&cluster.volume("node1")?).await?;
    let overlay = cluster.overlay("node1", "two").await?;
    cluster.stop_registrar().await?;
    let volume = cluster.volume("registrar")?;
    let newest = cluster.zfs.snapshots(&volume).await?.pop().context("it has snapshots")?;
    cluster.zfs.destroy_snapshot(&volume, &newest.name).await?;
    cluster.start_registrar().await?;
    cluster.in_step("node1").await?;
    cluster.register("three").await?;
    cluster.in_step("node1").await?;
    ensure!(cluster.guids(&cluster.volume("node1")?).await? == before, "what the node had was touched");
    ensure!(std::fs::read(&overlay.cache)? == cache_of(&cluster.file("two.raw")));
    let status = cluster.node_status("node1").await?;
    ensure!(status.replaced.iter().all(|replaced| replaced.unknown.is_some()), "{status:?}");
    ensure!(status.replaced.len() == 1, "{status:?}");
    Ok(())
}

async fn a_registrar_that_lost_everything_gets_it_back_from_a_node(cluster: &Cluster) -> Result<()> {
    for name in ["one", "two"] {
        cluster.register(name).await?;
    }
    for node in ["node1", "node2", "behind"] {
        cluster.start_node(node).await?;
        cluster.in_step(node).await?;
    }
    cluster.stop_node("behind").await?;
    cluster.register("three").await?;
    cluster.in_step("node1").await?;
    cluster.in_step("node2").await?;
    let overlay = cluster.overlay("node2", "one").await?;
    let kept = cluster.guids(&cluster.volume("node2")?).await?;

    cluster.lose_registrar().await?;
    ensure!(cluster.registrar_status().await?.images == 0);
    // The nodes call before long; an operator who cannot wait gives the URL.
    let reply =
        cluster.until("the registrar hears of the node", async || Ok(cluster.restore("node1").await.ok()));
    let reply = reply.await?;
    ensure!(
        reply.restored && reply.images == 3 && reply.from == cluster.peer_url("node1").await?,
        "{reply:?}"
    );
    ensure!(cluster.guids(&cluster.volume("registrar")?).await? == kept[kept.len() - 1..]);
    for name in ["one", "two", "three"] {
        let cache = cluster.file(&format!("registrar/volume/images/{name}/cache.qcow2"));
        ensure!(std::fs::read(&cache)? == cache_of(&cluster.file(&format!("{name}.raw"))), "{name}");
    }
    let again = cluster.restore(&cluster.peer_url("node2").await?).await?;
    ensure!(!again.restored && again.images == 3, "{again:?}");

    for node in ["node1", "node2"] {
        cluster.in_step(node).await?;
        let status = cluster.node_status(node).await?;
        ensure!(status.replaced.is_empty() && cluster.zfs.dataset(&cluster.volume(node)?).await?.is_some());
    }
    ensure!(cluster.guids(&cluster.volume("node2")?).await? == kept, "a node in step was touched");
    cluster.start_node("behind").await?;
    cluster.in_step("behind").await?;
    // What it had is in the registrar's past, so that nobody has to drop it by hand.
    ensure!(cluster.node_status("behind").await?.replaced.is_empty());
    ensure!(cluster.zfs.dataset(&cluster.volume("behind")?).await?.is_none());

    cluster.register("four").await?;
    for node in ["node1", "node2", "behind"] {
        cluster.in_step(node).await?;
        let overlay = cluster.overlay(node, "four").await?;
        ensure!(std::fs::read(&overlay.cache)? == cache_of(&cluster.file("four.raw")));
    }
    ensure!(std::fs::read(&overlay.cache)? == cache_of(&cluster.file("one.raw")));
    cluster.stop_registrar().await?;
    cluster.start_registrar().await?;
    ensure!(cluster.registrar_status().await?.images == 4);
    Ok(())
}

async fn a_restore_that_is_cut_leaves_an_empty_volume_and_can_be_done_again(cluster: &Cluster) -> Result<()> {
    cluster.start_node("node1").await?;
    let nothing = cluster.restore_refused(&cluster.peer_url("node1").await?).await?;
    ensure!(nothing.contains("has no snapshot"), "{nothing}");
    cluster.register("one").await?;
    cluster.register("two").await?;
    cluster.in_step("node1").await?;

    cluster.lose_registrar().await?;
    let proxy = cluster.proxy_to_peer("node1").await?;
    proxy.plan(Fault::CutAfter(CACHE_BYTES as u64 / 2));
    let cut = cluster.restore_refused(&proxy.url()).await?;
    ensure!(proxy.planned() == 0, "nothing was cut: {cut}");
    ensure!(cluster.guids(&cluster.volume("registrar")?).await?.is_empty());
    ensure!(cluster.registrar_status().await?.images == 0);
    let reply = cluster.restore(&proxy.url()).await?;
    ensure!(reply.restored && reply.images == 2, "{reply:?}");
    cluster.in_step("node1").await?;

    cluster.lose_registrar().await?;
    cluster.register("unknown").await?;
    let before = cluster.guids(&cluster.volume("registrar")?).await?;
    let refused = cluster.restore_refused(&proxy.url()).await?;
    ensure!(refused.contains("holds snapshot bs-000001") && refused.contains("zfs rename"), "{refused}");
    ensure!(cluster.guids(&cluster.volume("registrar")?).await? == before);
    Ok(())
}
