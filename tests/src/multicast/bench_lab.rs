//! The lab of the bench: its network carries one frame a packet, and its disks are in memory.

use super::NODES;
use crate::lab::{Host, Lab, LabPlan};
use anyhow::Result;
use std::path::Path;

/// Of every host for itself, and in memory: nobody's disk is measured.
pub(super) const MEMORY: &str = "/var/lib/bootstash";

/// The lab. It ends with this value.
#[derive(Debug)]
pub(super) struct BenchLab {
    pub(super) plan: LabPlan,
    pub(super) lab: Lab,
}

impl BenchLab {
    pub(super) fn build() -> Result<Self> {
        // There are no images; the directory only has to be one.
        let plan = LabPlan::new(NODES).images_dir(std::env::temp_dir());
        let lab = Lab::without_zfs(&plan)?;
        lab.disable_offloads()?;
        Ok(Self { plan, lab })
    }

    /// Every disk empty and no packet lost, whatever was before.
    pub(super) fn clear(&self) -> Result<()> {
        for host in self.hosts() {
            host.set_packet_loss(0.0)?;
            // The first time nothing is mounted there.
            host.command("umount", [MEMORY]).finish()?;
            host.command("mount", ["-t", "tmpfs", "bench", MEMORY]).output()?;
        }
        Ok(())
    }

    /// From now on every node loses `percent` percent of what comes in.
    pub(super) fn set_packet_loss(&self, percent: f64) -> Result<()> {
        self.lab.nodes().iter().try_for_each(|node| node.set_packet_loss(percent))
    }

    fn hosts(&self) -> impl Iterator<Item = &Host> {
        std::iter::once(self.lab.storage()).chain(self.lab.nodes())
    }
}

/// The BLAKE3 of a file, in hex.
pub(super) fn digest(file: &Path) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(std::fs::File::open(file)?)?;
    Ok(hasher.finalize().to_hex().to_string())
}
