//! Cases of mounts that are not where they belong, and of volumes changed behind the daemons' back.

use super::capturer::cache_of;
use super::cases::cases;
use super::cluster::Cluster;
use crate::lab::run::{Call, Process};
use anyhow::{Context, Result, ensure};
use bootstash_base::names::DatasetName;
use bootstash_net::api::{AgentState, HeldBy};
use std::path::Path;

/// How the command begins that mends a changed volume.
const COMMAND: &str = "zfs rollback ";

cases! {
    a_volume_mounted_elsewhere_takes_no_cache,
    a_volume_under_another_mount_takes_no_cache,
    a_view_destroyed_by_hand_is_made_anew,
    a_view_that_is_held_elsewhere_gets_a_second_name,
    a_volume_that_was_written_to_names_the_command_that_mends_it,
    a_node_whose_newest_snapshot_is_gone_names_the_command_that_mends_it,
}

async fn a_volume_mounted_elsewhere_takes_no_cache(cluster: &Cluster) -> Result<()> {
    cluster.register("one").await?;
    let (volume, place) = (cluster.volume("registrar")?, cluster.file("registrar/volume"));
    let before = cluster.guids(&volume).await?;
    let elsewhere = format!("mountpoint={}", cluster.file("elsewhere").display());
    set_and_remount(cluster, &volume, || cluster.zfs_command(&["set", &elsewhere, volume.as_str()])).await?;
    let error = refused(cluster, "two").await?;
    let remedy = format!("zfs set mountpoint={} {volume}", place.display());
    ensure!(error.contains(&remedy), "{error}");
    ensure!(is_empty(&place)? && cluster.guids(&volume).await? == before);
    set_and_remount(cluster, &volume, || run(&remedy)).await?;
    came_back(cluster, &volume, before.len()).await
}

async fn a_volume_under_another_mount_takes_no_cache(cluster: &Cluster) -> Result<()> {
    cluster.register("one").await?;
    let (volume, place) = (cluster.volume("registrar")?, cluster.file("registrar/volume"));
    let before = cluster.guids(&volume).await?;
    Call::new("mount").args(["-t", "tmpfs", "scratch"]).args([&place]).output()?;
    let error = refused(cluster, "two").await?;
    let remedy = format!("umount {}", place.display());
    ensure!(error.contains("scratch is mounted over") && error.contains(&remedy), "{error}");
    ensure!(is_empty(&place)? && cluster.guids(&volume).await? == before);
    run(&remedy)?;
    came_back(cluster, &volume, before.len()).await
}

/// zfs-fuse says "busy" where it is to mount what it has just unmounted, with the property set; mounting it then is
/// what the registrar does, too, within seconds.
async fn set_and_remount(
    cluster: &Cluster,
    volume: &DatasetName,
    set: impl FnOnce() -> Result<()>,
) -> Result<()> {
    match set() {
        Err(error) if !error.to_string().contains("property may be set") => return Err(error),
        _ => cluster.zfs.mount(volume).await?,
    };
    Ok(())
}

/// Why an image is not registered.
async fn refused(cluster: &Cluster, name: &str) -> Result<String> {
    Ok(cluster.register(name).await.err().context("registered")?.to_string())
}

fn is_empty(directory: &Path) -> Result<bool> {
    Ok(!directory.exists() || std::fs::read_dir(directory)?.next().is_none())
}

/// Runs what a message tells an operator to.
fn run(command: &str) -> Result<()> {
    Call::new("sh").args(["-c", command]).output().map(drop)
}

async fn came_back(cluster: &Cluster, volume: &DatasetName, before: usize) -> Result<()> {
    cluster.register("two").await?;
    ensure!(cluster.guids(volume).await?.len() == before + 1);
    cluster.start_node("node1").await?;
    cluster.in_step("node1").await?;
    for name in ["one", "two"] {
        let overlay = cluster.overlay("node1", name).await?;
        ensure!(std::fs::read(&overlay.cache)? == cache_of(&cluster.file(&format!("{name}.raw"))), "{name}");
    }
    Ok(())
}

async fn a_view_destroyed_by_hand_is_made_anew(cluster: &Cluster) -> Result<()> {
    cluster.register("one").await?;
    cluster.start_node("node1").await?;
    cluster.in_step("node1").await?;
    let overlay = cluster.overlay("node1", "one").await?;
    let view = cluster.view("node1", &overlay.snapshot)?;
    let destroy = async || Ok(cluster.zfs_command(&["destroy", view.as_str()]).ok());
    cluster.until("the view is destroyed", destroy).await?;
    cluster.until("it is made anew", async || Ok(overlay.cache.exists().then_some(()))).await?;
    ensure!(std::fs::read(&overlay.cache)? == cache_of(&cluster.file("one.raw")));
    Ok(())
}

/// By a process that was started while it was mounted, in a mount namespace of its own.
async fn a_view_that_is_held_elsewhere_gets_a_second_name(cluster: &Cluster) -> Result<()> {
    cluster.register("one").await?;
    cluster.start_node("node1").await?;
    cluster.in_step("node1").await?;
    let overlay = cluster.overlay("node1", "one").await?;
    let view = cluster.view("node1", &overlay.snapshot)?;
    let holder = hold(cluster, &view).await?;
    cluster.remove_overlay("node1", &overlay.path).await?;
    let status = cluster.node_status("node1").await?;
    ensure!(status.held.len() == 1 && status.held[0].dataset == view, "{status:?}");
    let named = &status.held[0].holders;
    ensure!(named.iter().any(|it| it.command == "sleep" && it.by == HeldBy::MountNamespace), "{named:?}");
    let again = cluster.overlay("node1", "one").await?;
    ensure!(again.cache == overlay.cache);
    ensure!(std::fs::read(&again.cache)? == cache_of(&cluster.file("one.raw")));
    drop(holder);
    cluster.remove_overlay("node1", &again.path).await?;
    cluster
        .until("both views are gone", async || {
            cluster.collect("node1").await?;
            let left = cluster.zfs.children(&cluster.dataset("node1")?.child("views")?).await?;
            Ok((left.is_empty() && cluster.node_status("node1").await?.held.is_empty()).then_some(()))
        })
        .await
}

async fn hold(cluster: &Cluster, view: &DatasetName) -> Result<Process> {
    let holder = Call::new("unshare").args(["-m", "sleep", "600"]).start(&cluster.file("holder.log"))?;
    let own = std::fs::read_link("/proc/self/ns/mnt")?;
    let process = format!("/proc/{}", holder.pid());
    cluster
        .until("the process has a namespace of its own", async || {
            let apart = std::fs::read_link(format!("{process}/ns/mnt"))? != own;
            let sees = std::fs::read_to_string(format!("{process}/mountinfo"))?.contains(view.as_str());
            let sleeps = std::fs::read_to_string(format!("{process}/comm"))?.trim() == "sleep";
            Ok((apart && sees && sleeps).then_some(()))
        })
        .await?;
    Ok(holder)
}

async fn a_volume_that_was_written_to_names_the_command_that_mends_it(cluster: &Cluster) -> Result<()> {
    cluster.register("one").await?;
    cluster.start_node("node1").await?;
    cluster.in_step("node1").await?;
    let (volume, at) = (cluster.volume("node1")?, cluster.file("written"));
    let mountpoint = format!("mountpoint={}", at.display());
    cluster.zfs_command(&["set", "readonly=off", volume.as_str()])?;
    cluster.zfs_command(&["set", &mountpoint, volume.as_str()])?;
    cluster.zfs.mount(&volume).await?;
    std::fs::write(at.join("foreign"), b"was here")?;
    cluster.register("two").await?;
    mended_as_it_says(cluster).await
}

async fn a_node_whose_newest_snapshot_is_gone_names_the_command_that_mends_it(
    cluster: &Cluster,
) -> Result<()> {
    cluster.register("one").await?;
    cluster.register("two").await?;
    cluster.start_node("node1").await?;
    cluster.in_step("node1").await?;
    cluster.register("three").await?;
    cluster.in_step("node1").await?;
    let volume = cluster.volume("node1")?;
    let newest = cluster.zfs.snapshots(&volume).await?.pop().context("it has snapshots")?;
    cluster.zfs_command(&["destroy", &format!("{volume}@{}", newest.name)])?;
    cluster.register("four").await?;
    mended_as_it_says(cluster).await
}

/// The node stops, and it and the registrar name a command; that brings it in step.
async fn mended_as_it_says(cluster: &Cluster) -> Result<()> {
    let error = cluster
        .until("the node stops with a command", async || match cluster.node_status("node1").await?.state {
            AgentState::Stopped { error } if error.contains(COMMAND) => Ok(Some(error)),
            _ => Ok(None),
        })
        .await?;
    let at = error.find(COMMAND).context("no command")?;
    cluster
        .until("the registrar names it, too", async || {
            Ok((cluster.problem_of("node1").await?.as_ref() == Some(&error)).then_some(()))
        })
        .await?;
    run(&error[at..])?;
    cluster.in_step("node1").await?;
    let overlay = cluster.overlay("node1", "one").await?;
    ensure!(std::fs::read(&overlay.cache)? == cache_of(&cluster.file("one.raw")));
    Ok(())
}
