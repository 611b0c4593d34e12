//! The cases.

use super::capturer::{CACHE_BYTES, cache_of};
use super::cluster::Cluster;
use super::faulty_proxy::Fault;
use super::hanging::HangingMount;
use anyhow::{Context, Result, ensure};
use bootstash_disk::qcow2::read_backing;
use bootstash_net::api::{AgentState, OverlayState};
use futures::future::LocalBoxFuture;
use std::os::unix::fs::MetadataExt;

/// One case: it gets a registrar of its own and fails with an error.
#[derive(Clone, Copy)]
pub(super) struct Case {
    /// The name of its function, and of its trial.
    pub(super) name: &'static str,
    /// Runs it on a cluster of its own.
    pub(super) run: for<'a> fn(&'a Cluster) -> LocalBoxFuture<'a, Result<()>>,
}

/// Makes a list of the functions named.
macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        pub(super) const CASES: &[$crate::replication::cases::Case] =
            &[$($crate::replication::cases::Case { name: stringify!($name), run: |cluster| Box::pin($name(cluster)) }),*];
    };
}

pub(super) use cases;

cases! {
    what_is_registered_is_on_every_node,
    a_node_that_was_off_catches_up_in_order,
    a_node_far_behind_gets_one_increment_which_all_there_share,
    a_download_that_is_cut_goes_on,
    restarts_change_nothing,
    an_overlay_outlives_its_image_and_its_snapshot,
    a_volume_that_was_written_to_is_not_touched,
    a_quota_stops_a_node_and_more_room_heals_it,
    partial_state_of_a_foreign_receive_is_cleared,
    collecting_leaves_the_newest_and_strands_nobody,
    a_node_that_was_away_for_long_begins_anew_beside_its_overlays,
    a_node_that_reboots_finds_its_views_mounted,
    a_node_that_lost_its_records_has_them_back_from_the_overlays,
    a_leaked_view_goes_and_one_in_use_stays,
    storage_that_hangs_holds_up_nothing_else,
}

async fn what_is_registered_is_on_every_node(cluster: &Cluster) -> Result<()> {
    cluster.start_node("node1").await?;
    cluster.register("debian").await?;
    cluster.register("alpine").await?;
    cluster.start_node("node2").await?;
    for node in ["node1", "node2"] {
        cluster.in_step(node).await?;
        let overlay = cluster.overlay(node, "debian").await?;
        let cache = std::fs::read(&overlay.cache).with_context(|| overlay.cache.display().to_string())?;
        ensure!(cache == cache_of(&cluster.file("debian.raw")), "{node} holds another cache");
        ensure!(read_backing(&overlay.path)?.is_some_and(|backed| backed.backing == overlay.cache));
    }
    // Half of each cache is the other's half, and every node shares the pool: one copy of it is stored.
    let usage = cluster.registrar_status().await?.usage.context("no figures")?;
    ensure!(usage.dedup_ratio > 1.5, "{usage:?}");
    let tells = cluster.zfs.capabilities().dedup_table;
    ensure!(usage.dedup_table.is_some_and(|table| table.bytes > 0) == tells, "{usage:?}");
    Ok(())
}

async fn a_node_that_was_off_catches_up_in_order(cluster: &Cluster) -> Result<()> {
    cluster.register("one").await?;
    cluster.start_node("node1").await?;
    cluster.in_step("node1").await?;
    cluster.stop_node("node1").await?;
    for name in ["two", "three", "four"] {
        cluster.register(name).await?;
    }
    cluster.start_node("node1").await?;
    cluster.in_step("node1").await?;
    let (there, here) = (cluster.volume("registrar")?, cluster.volume("node1")?);
    ensure!(cluster.guids(&there).await? == cluster.guids(&here).await?, "a snapshot was left out");
    ensure!(cluster.node_status("node1").await?.images == 4);
    Ok(())
}

async fn a_node_far_behind_gets_one_increment_which_all_there_share(cluster: &Cluster) -> Result<()> {
    cluster.register("first").await?;
    for node in ["node1", "node2"] {
        cluster.start_node(node).await?;
        cluster.in_step(node).await?;
        cluster.stop_node(node).await?;
    }
    for number in 0..8 {
        cluster.register(&format!("image{number}")).await?;
    }
    ensure!(cluster.deregister("image0").await?.published.is_some());
    let there = cluster.guids(&cluster.volume("registrar")?).await?;
    let combined = cluster.file(&format!("registrar/deltas/{}-{}.bsd", there[0], there[9]));
    let combined = |made: bool| ensure_eq(combined.exists(), made, "the combined delta");
    combined(false)?;
    for node in ["node1", "node2"] {
        cluster.start_node(node).await?;
        cluster.in_step(node).await?;
        let here = cluster.guids(&cluster.volume(node)?).await?;
        ensure!(here == [there[0], there[9]], "{node} did not go straight to the newest snapshot: {here:?}");
        ensure!(cluster.node_status(node).await?.images == 8);
        combined(true)?;
    }
    let overlay = cluster.overlay("node2", "image7").await?;
    ensure!(std::fs::read(&overlay.cache)? == cache_of(&cluster.file("image7.raw")));
    cluster.register("last").await?;
    for node in ["node1", "node2"] {
        cluster.in_step(node).await?;
    }
    // No node is where it begins any more.
    cluster
        .until("the combined delta goes", async || {
            cluster.collect("registrar").await?;
            Ok(combined(false).ok())
        })
        .await
}

fn ensure_eq<T: PartialEq + std::fmt::Debug>(is: T, wanted: T, what: &str) -> Result<()> {
    ensure!(is == wanted, "{what}: {is:?}, not {wanted:?}");
    Ok(())
}

/// On OpenZFS the stream into ZFS itself, elsewhere the file.
async fn a_download_that_is_cut_goes_on(cluster: &Cluster) -> Result<()> {
    for name in ["one", "two", "three"] {
        cluster.register(name).await?;
    }
    cluster.proxy.plan(Fault::CutAfter(CACHE_BYTES as u64));
    cluster.proxy.plan(Fault::CutAfter(CACHE_BYTES as u64 / 2));
    cluster.start_node("node1").await?;
    cluster.in_step("node1").await?;
    ensure!(cluster.proxy.planned() == 0, "nothing was cut");
    ensure!(cluster.zfs.partial(&cluster.volume("node1")?).await?.is_none());
    let overlay = cluster.overlay("node1", "three").await?;
    ensure!(std::fs::read(&overlay.cache)? == cache_of(&cluster.file("three.raw")));
    Ok(())
}

async fn restarts_change_nothing(cluster: &Cluster) -> Result<()> {
    cluster.register("one").await?;
    cluster.start_node("node1").await?;
    cluster.in_step("node1").await?;
    let overlay = cluster.overlay("node1", "one").await?;
    let before = cluster.guids(&cluster.volume("registrar")?).await?;
    cluster.stop_registrar().await?;
    cluster.stop_node("node1").await?;
    cluster.start_registrar().await?;
    cluster.start_node("node1").await?;
    cluster.in_step("node1").await?;
    ensure!(cluster.guids(&cluster.volume("registrar")?).await? == before);
    ensure!(std::fs::metadata(&overlay.cache)?.size() == CACHE_BYTES as u64);
    cluster.register("two").await?;
    cluster.in_step("node1").await
}

async fn an_overlay_outlives_its_image_and_its_snapshot(cluster: &Cluster) -> Result<()> {
    cluster.register("one").await?;
    cluster.start_node("node1").await?;
    cluster.in_step("node1").await?;
    let overlay = cluster.overlay("node1", "one").await?;
    let open = std::fs::File::open(&overlay.cache)?;
    ensure!(cluster.deregister("one").await?.published.is_some());
    cluster.in_step("node1").await?;
    cluster.collect("registrar").await?;
    cluster.collect("node1").await?;
    let new = cluster.overlay_at("node1", "one", cluster.file("new.qcow2")).await;
    ensure!(new.is_err(), "a deregistered image gives overlays");
    ensure!(cluster.overlay("node1", "one").await? == overlay, "one that is there is left as it is");
    let mut cache = Vec::new();
    std::io::Read::read_to_end(&mut &open, &mut cache)?;
    ensure!(cache == cache_of(&cluster.file("one.raw")) && cache == std::fs::read(&overlay.cache)?);
    Ok(())
}

async fn a_volume_that_was_written_to_is_not_touched(cluster: &Cluster) -> Result<()> {
    cluster.register("one").await?;
    cluster.start_node("node1").await?;
    cluster.in_step("node1").await?;
    let (volume, at) = (cluster.volume("node1")?, cluster.file("written"));
    let mountpoint = format!("mountpoint={}", at.display());
    for words in [["set", "readonly=off"], ["set", mountpoint.as_str()]] {
        cluster.zfs_command(&[words[0], words[1], volume.as_str()])?;
    }
    cluster.zfs.mount(&volume).await?;
    std::fs::write(at.join("foreign"), b"was here")?;
    let before = cluster.guids(&volume).await?;
    cluster.register("two").await?;
    stopped_with(cluster, "was modified").await?;
    ensure!(cluster.guids(&volume).await? == before && at.join("foreign").exists());
    Ok(())
}

async fn a_quota_stops_a_node_and_more_room_heals_it(cluster: &Cluster) -> Result<()> {
    cluster.register("one").await?;
    cluster.start_node("node1").await?;
    cluster.in_step("node1").await?;
    let (root, volume) = (cluster.dataset("node1")?, cluster.volume("node1")?);
    let before = cluster.guids(&volume).await?;
    cluster.zfs_command(&["set", "quota=3M", root.as_str()])?;
    for name in ["two", "three", "four"] {
        cluster.register(name).await?;
    }
    stopped_with(cluster, "quota").await?;
    ensure!(cluster.guids(&volume).await?.starts_with(&before));
    cluster.zfs_command(&["set", "quota=none", root.as_str()])?;
    cluster.in_step("node1").await
}

/// An operator began a resumable receive by hand, and left its state.
async fn partial_state_of_a_foreign_receive_is_cleared(cluster: &Cluster) -> Result<()> {
    cluster.register("one").await?;
    cluster.start_node("node1").await?;
    cluster.in_step("node1").await?;
    cluster.stop_node("node1").await?;
    cluster.register("two").await?;
    if cluster.zfs.capabilities().resumable_receive {
        leave_partial_state(cluster).await?;
    }
    cluster.start_node("node1").await?;
    cluster.in_step("node1").await?;
    ensure!(cluster.zfs.partial(&cluster.volume("node1")?).await?.is_none());
    Ok(())
}

async fn leave_partial_state(cluster: &Cluster) -> Result<()> {
    let (there, here) = (cluster.volume("registrar")?, cluster.volume("node1")?);
    let names: Vec<_> =
        cluster.zfs.snapshots(&there).await?.into_iter().map(|snapshot| snapshot.name).collect();
    let pipe = format!(
        "zfs send -i @{} {there}@{} | head -c 1000000 | zfs receive -s -u {here} || true",
        names[0], names[1]
    );
    crate::lab::run::Call::new("sh").args(["-c", &pipe]).output()?;
    ensure!(cluster.zfs.partial(&here).await?.is_some(), "no partial state was left");
    Ok(())
}

async fn collecting_leaves_the_newest_and_strands_nobody(cluster: &Cluster) -> Result<()> {
    cluster.register("one").await?;
    cluster.start_node("node1").await?;
    cluster.in_step("node1").await?;
    cluster.stop_node("node1").await?;
    cluster.register("two").await?;
    cluster.register("three").await?;
    cluster.collect("registrar").await?;
    // The node that is off was heard of: its base is kept, and what leads on from it.
    ensure!(cluster.guids(&cluster.volume("registrar")?).await?.len() == 3);
    cluster.start_node("node1").await?;
    cluster.in_step("node1").await?;
    let base = cluster.guids(&cluster.volume("registrar")?).await?;
    cluster
        .until("the registrar hears where the node is", async || {
            cluster.collect("registrar").await?;
            Ok((cluster.guids(&cluster.volume("registrar")?).await? == base[2..]).then_some(()))
        })
        .await?;
    cluster.collect("node1").await?;
    ensure!(cluster.guids(&cluster.volume("node1")?).await? == base[2..]);
    cluster.register("four").await?;
    cluster.in_step("node1").await
}

async fn a_node_that_was_away_for_long_begins_anew_beside_its_overlays(cluster: &Cluster) -> Result<()> {
    cluster.register("one").await?;
    cluster.start_node("node1").await?;
    cluster.in_step("node1").await?;
    let overlay = cluster.overlay("node1", "one").await?;
    let open = std::fs::File::open(&overlay.cache)?;
    cluster.stop_node("node1").await?;
    // The registrar hears of it no more, and keeps nothing for it.
    cluster.stop_registrar().await?;
    std::fs::remove_file(cluster.file("registrar/nodes.json"))?;
    cluster.start_registrar().await?;
    cluster.register("two").await?;
    cluster.collect("registrar").await?;
    cluster.start_node("node1").await?;
    cluster.in_step("node1").await?;
    let status = cluster.node_status("node1").await?;
    ensure!(
        status.images == 2 && status.replaced.len() == 1 && status.replaced[0].unknown.is_none(),
        "{status:?}"
    );
    let mut cache = Vec::new();
    std::io::Read::read_to_end(&mut &open, &mut cache)?;
    ensure!(cache == cache_of(&cluster.file("one.raw")), "the overlay's cache changed");
    drop(open);
    cluster.remove_overlay("node1", &overlay.path).await?;
    cluster
        .until("the replaced volume goes", async || {
            cluster.collect("node1").await?;
            Ok(cluster.node_status("node1").await?.replaced.is_empty().then_some(()))
        })
        .await?;
    ensure!(cluster.zfs.dataset(&cluster.volume("node1")?).await?.is_none());
    cluster.register("three").await?;
    cluster.in_step("node1").await
}

pub(super) async fn stopped_with(cluster: &Cluster, why: &str) -> Result<()> {
    let error = cluster
        .until("the node stops", async || match cluster.node_status("node1").await?.state {
            AgentState::Stopped { error } => Ok(Some(error)),
            _ => Ok(None),
        })
        .await?;
    ensure!(error.contains(why), "{error}");
    Ok(())
}

/// Its agent stops, and the views are not mounted when it starts.
async fn a_node_that_reboots_finds_its_views_mounted(cluster: &Cluster) -> Result<()> {
    cluster.register("one").await?;
    cluster.start_node("node1").await?;
    cluster.in_step("node1").await?;
    let overlay = cluster.overlay("node1", "one").await?;
    cluster.register("two").await?;
    cluster.in_step("node1").await?;
    cluster.stop_node("node1").await?;
    cluster.zfs_command(&["unmount", cluster.view("node1", &overlay.snapshot)?.as_str()])?;
    let unmounted = async || Ok((!overlay.cache.exists()).then_some(()));
    cluster.until("the view is unmounted", unmounted).await?;
    cluster.start_node("node1").await?;
    ensure!(std::fs::read(&overlay.cache)? == cache_of(&cluster.file("one.raw")));
    let overlays = cluster.overlays("node1").await?;
    ensure!(overlays.len() == 1 && overlays[0].state == OverlayState::Stopped, "{overlays:?}");
    cluster.in_step("node1").await
}

async fn a_node_that_lost_its_records_has_them_back_from_the_overlays(cluster: &Cluster) -> Result<()> {
    cluster.register("one").await?;
    cluster.start_node("node1").await?;
    cluster.in_step("node1").await?;
    let overlay = cluster.overlay("node1", "one").await?;
    cluster.register("two").await?;
    cluster.in_step("node1").await?;
    cluster.stop_node("node1").await?;
    std::fs::remove_dir_all(cluster.file("node1"))?;
    // Of the view, too, only the snapshot is left.
    cluster.zfs.destroy(&cluster.view("node1", &overlay.snapshot)?).await?;
    cluster.start_node("node1").await?;
    let overlays = cluster.overlays("node1").await?;
    ensure!(overlays.len() == 1 && overlays[0].overlay.path == overlay.path, "{overlays:?}");
    ensure!(overlays[0].overlay.snapshot == overlay.snapshot, "{overlays:?}");
    cluster.in_step("node1").await?;
    let report = cluster.collect("node1").await?;
    ensure!(report.views.is_empty() && report.overlays_released.is_empty(), "{report:?}");
    ensure!(std::fs::read(&overlay.cache)? == cache_of(&cluster.file("one.raw")));
    Ok(())
}

/// In use as by a QEMU that runs from an overlay which was deleted.
async fn a_leaked_view_goes_and_one_in_use_stays(cluster: &Cluster) -> Result<()> {
    cluster.register("one").await?;
    cluster.start_node("node1").await?;
    cluster.in_step("node1").await?;
    let overlay = cluster.overlay("node1", "one").await?;
    let (view, at) = (cluster.view("node1", &overlay.snapshot)?, cluster.file("node1-views"));
    let open = std::fs::File::open(&overlay.cache)?;
    std::fs::remove_file(&overlay.path)?;
    let report = cluster.collect("node1").await?;
    ensure!(report.overlays_released.len() == 1 && report.views.len() == 1, "{report:?}");
    ensure!(report.views[0].keep && overlay.cache.exists(), "a view in use went: {report:?}");
    drop(open);
    cluster.collect("node1").await?;
    ensure!(cluster.zfs.dataset(&view).await?.is_none(), "the view stays");
    cluster.stop_node("node1").await?;
    let stray = at.join(overlay.snapshot.as_str());
    cluster.zfs.clone_snapshot(&cluster.volume("node1")?, &overlay.snapshot, &view, &stray).await?;
    cluster.start_node("node1").await?;
    ensure!(cluster.zfs.dataset(&view).await?.is_none(), "the leaked view stays");
    cluster.in_step("node1").await
}

async fn storage_that_hangs_holds_up_nothing_else(cluster: &Cluster) -> Result<()> {
    if !std::path::Path::new("/dev/fuse").exists() {
        eprintln!("there is no FUSE here to hang");
        return Ok(());
    }
    cluster.register("one").await?;
    cluster.start_node("node1").await?;
    cluster.in_step("node1").await?;
    let vms = cluster.file("hung");
    std::fs::create_dir(&vms)?;
    cluster.overlay_at("node1", "one", vms.join("a.qcow2")).await?;
    let there = cluster.overlay("node1", "one").await?;
    let hanging = HangingMount::over(&vms)?;
    let states = async || -> Result<Vec<_>> {
        let overlays = cluster.overlays("node1").await?;
        Ok(overlays.into_iter().map(|it| (it.overlay.path, it.state)).collect())
    };
    let list = states().await?;
    // The one that hangs is the first in order, and takes nothing from the other.
    let hung = (vms.join("a.qcow2"), OverlayState::Unreachable);
    ensure!(list == [hung, (there.path.clone(), OverlayState::Stopped)], "{list:?}");
    let report = cluster.collect("node1").await?;
    ensure!(report.overlays_released.is_empty() && report.views.is_empty(), "{report:?}");
    cluster.stop_node("node1").await?;
    cluster.start_node("node1").await?;
    cluster.register("two").await?;
    cluster.in_step("node1").await?;
    ensure!(cluster.overlay_at("node1", "two", vms.join("b.qcow2")).await.is_err());
    drop(hanging);
    cluster
        .until("all overlays are seen again", async || {
            Ok(states().await?.iter().all(|(_, state)| *state == OverlayState::Stopped).then_some(()))
        })
        .await
}
