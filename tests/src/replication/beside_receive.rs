//! Cases of overlays while a node receives.

use super::cases::cases;
use super::cluster::Cluster;
use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::time::timeout;

const NODE: &str = "node1";
/// Until the node has begun, or an overlay is made.
const LIMIT: Duration = Duration::from_secs(60);
/// Shorter than any receive takes.
const LOOK_EVERY: Duration = Duration::from_millis(2);

cases! {
    overlays_are_made_and_removed_while_a_receive_is_held,
}

async fn overlays_are_made_and_removed_while_a_receive_is_held(cluster: &Cluster) -> Result<()> {
    cluster.register("one").await?;
    cluster.start_node(NODE).await?;
    cluster.in_step(NODE).await?;
    let before = cluster.overlay_at(NODE, "one", cluster.file("before.qcow2")).await?;
    let beside = async {
        let held = Held::receive_into(cluster.volume(NODE)?.as_str()).await?;
        let path = cluster.file("beside.qcow2");
        let making = timeout(LIMIT, cluster.overlay_at(NODE, "one", path.clone()));
        let made = making.await.context("an overlay waits for the receive")??;
        ensure!(made.snapshot == before.snapshot, "the receive was not held: {made:?}");
        ensure!(made.cache.is_file());
        let removing = timeout(LIMIT, cluster.remove_overlay(NODE, &path));
        removing.await.context("removing waits for the receive")??;
        ensure!(!path.exists() && before.cache.is_file());
        drop(held);
        Ok(())
    };
    // The registrar's next command may wait for what is held.
    tokio::try_join!(cluster.register("two"), beside)?;
    cluster.in_step(NODE).await?;
    let after = cluster.overlay_at(NODE, "two", cluster.file("after.qcow2")).await?;
    ensure!(after.snapshot != before.snapshot && after.cache.is_file());
    Ok(())
}

/// A process that stands still until this is dropped.
struct Held(Pid);

impl Held {
    /// The next `zfs receive` into a file system.
    async fn receive_into(dataset: &str) -> Result<Self> {
        let dataset = dataset.to_owned();
        tokio::task::spawn_blocking(move || {
            let deadline = Instant::now() + LIMIT;
            while Instant::now() < deadline {
                if let Some(pid) = receiving(&dataset)? {
                    kill(pid, Signal::SIGSTOP).context("it has ended")?;
                    return Ok(Self(pid));
                }
                std::thread::sleep(LOOK_EVERY);
            }
            bail!("nothing is received into {dataset}")
        })
        .await?
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        kill(self.0, Signal::SIGCONT).ok();
    }
}

fn receiving(dataset: &str) -> Result<Option<Pid>> {
    for process in Path::new("/proc").read_dir()? {
        let process = process?;
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // One that ends meanwhile has none.
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let words: Vec<_> = line.split(|byte| *byte == 0).collect();
        if words.contains(&b"receive".as_slice()) && words.contains(&dataset.as_bytes()) {
            return Ok(Some(Pid::from_raw(pid)));
        }
    }
    Ok(None)
}
