//! The results of the demo as JSON: `target/demo/report.json`.

use crate::lab::warm_boot::WarmBoot;
use anyhow::{Context, Result};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What `make demo` measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The images registered.
    pub images: Vec<ImageReport>,
    /// The nodes at the end.
    pub nodes: Vec<NodeReport>,
    /// The boots from bases that refused every read.
    pub boots: Vec<WarmBoot>,
    /// The registrar's volume with all images in it.
    pub volume: VolumeReport,
    /// How it all came to the nodes.
    pub propagation: PropagationReport,
}

/// What the registrar sent to its nodes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PropagationReport {
    /// To all nodes at once.
    pub sent_once_bytes: u64,
    /// Of what some of them had lost, to all at once.
    pub repair_bytes: u64,
    /// To one node each.
    pub unicast_bytes: u64,
}

/// A registered image.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ImageReport {
    /// Its name.
    pub name: String,
    /// Size of its file.
    pub image_bytes: u64,
    /// Size of its boot cache.
    pub cache_bytes: u64,
    /// How many boots its capture took.
    pub boots: u32,
    /// From the command to its end; several ran at once.
    pub register_seconds: f64,
    /// Size of the delta that carries it; images that were ready together share one.
    pub delta_bytes: u64,
}

/// A compute node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NodeReport {
    /// Its name.
    pub name: String,
    /// Its newest snapshot.
    pub snapshot: String,
    /// How many snapshots it is behind.
    pub lag: u64,
    /// Memory its agent has.
    pub agent_rss_bytes: u64,
}

/// How well the volume deduplicates and compresses.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VolumeReport {
    /// What the caches hold.
    pub logical_bytes: u64,
    /// What they take in the pool.
    pub used_bytes: u64,
    /// The deduplication ratio of the pool.
    pub dedup_ratio: f64,
    /// The compression ratio of the volume.
    pub compress_ratio: f64,
}

/// Writes `value` as `target/NAME`, beside where programs are built.
///
/// # Errors
/// When it cannot be written.
pub fn write(name: &str, value: &impl Serialize) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let target = own.ancestors().nth(2).context("this program lies in no target directory")?;
    let path = target.join(name);
    std::fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    std::fs::write(&path, serde_json::to_vec_pretty(value)?)
        .with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}
