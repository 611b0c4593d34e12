//! Shared storage at fault: a node whose images can be seen and opened, and not read.

use super::host::Host;
use super::refusing_fs::ReadCounts;
use super::run::Process;
use super::{IMAGES_DIR, wait};
use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::time::Duration;

const MOUNT_DEADLINE: Duration = Duration::from_secs(20);

/// While it lives, every read of an image on the node fails and is counted.
#[derive(Debug)]
pub struct RefusingImages<'a> {
    host: &'a Host,
    process: Process,
    counts: PathBuf,
}

impl<'a> RefusingImages<'a> {
    /// Mounts a [`super::refusing_fs`] over the images of `host`.
    ///
    /// # Errors
    /// When it cannot be mounted.
    pub fn on(host: &'a Host) -> Result<Self> {
        let (counts, log) = (host.dir().join("refused.json"), host.dir().join("refusing.log"));
        let call = host.command("lab", ["refuse", IMAGES_DIR]).args([&counts]);
        let mut process = call.start(&log)?;
        wait::until("the refusing file system", MOUNT_DEADLINE, || {
            if !process.is_running() {
                bail!("it ended: {}", std::fs::read_to_string(&log)?);
            }
            let mounts = std::fs::read_to_string(format!("/proc/{}/mounts", host.init))?;
            Ok(mounts.lines().any(|line| line.starts_with("refusing ")).then_some(()))
        })?;
        Ok(Self { host, process, counts })
    }

    /// What was asked for so far.
    ///
    /// # Errors
    /// When the counts cannot be read.
    pub fn counts(&self) -> Result<ReadCounts> {
        let bytes = std::fs::read(&self.counts)
            .with_context(|| format!("no counts of refused reads on {}", self.host.name()))?;
        Ok(serde_json::from_slice(&bytes)?)
    }
}

impl Drop for RefusingImages<'_> {
    fn drop(&mut self) {
        // The process first: seeing itself unmounted, it would unmount what lies below, too.
        self.process.kill();
        let unmounted = self.host.command("umount", ["-l", IMAGES_DIR]).output();
        if let Err(error) = unmounted {
            eprintln!("{}: {error:#}", self.host.name());
        }
    }
}
