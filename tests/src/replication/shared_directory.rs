//! Nodes over one directory of VM disks.

use super::cases::cases;
use super::cluster::{Cluster, write_overlay};
use anyhow::{Result, ensure};
use bootstash_net::api::{OverlayState, OverlayView};
use std::path::PathBuf;

cases! {
    an_overlay_of_one_node_can_be_started_on_another,
}

/// Two nodes over one directory with a folder for each VM.
async fn an_overlay_of_one_node_can_be_started_on_another(cluster: &Cluster) -> Result<()> {
    cluster.register("debian").await?;
    for node in ["node1", "node2"] {
        cluster.start_node(node).await?;
        cluster.in_step(node).await?;
    }
    let mut made = Vec::new();
    for vm in ["told", "found"] {
        std::fs::create_dir_all(cluster.file(&format!("vms/{vm}")))?;
        let path = cluster.file(&format!("vms/{vm}/disk.qcow2"));
        made.push(cluster.overlay_at("node1", "debian", path).await?);
    }
    // On hosts of their own both name their views alike: what the first wrote is, read by the second, one of its own.
    let theirs = |overlay: &OverlayView| -> Result<PathBuf> {
        let below = overlay.cache.strip_prefix(cluster.file("node1-views"))?;
        Ok(cluster.file("node2-views").join(below))
    };
    for overlay in &made {
        std::fs::remove_file(&overlay.path)?;
        write_overlay(&overlay.path, &theirs(overlay)?, overlay.virtual_size_bytes)?;
    }
    let same = |overlay: &OverlayView| -> Result<bool> {
        Ok(std::fs::read(theirs(overlay)?)? == std::fs::read(&overlay.cache)?)
    };
    let adopted = cluster.adopt("node2", made[0].path.clone()).await?;
    ensure!(adopted.adopted && !adopted.awaits_snapshot && same(&made[0])?, "{adopted:?}");
    let listed = cluster.until("the other is found by itself", async || {
        let listed = cluster.overlays("node2").await?;
        Ok((listed.len() == 2).then_some(listed))
    });
    ensure!(listed.await?.iter().all(|status| status.state == OverlayState::Stopped));
    ensure!(same(&made[1])?, "its cache is another");
    // Whoever has adopted it has it after a restart, and lets it go as its own.
    cluster.stop_node("node2").await?;
    cluster.start_node("node2").await?;
    ensure!(same(&made[0])? && same(&made[1])?);
    for overlay in &made {
        cluster.remove_overlay("node2", &overlay.path).await?;
    }
    ensure!(!theirs(&made[0])?.exists(), "its view stayed");
    Ok(())
}
