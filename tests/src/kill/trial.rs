//! One trial: somebody dies, is started again, and all is as it should be.

use super::scene::{self, Scene};
use super::site::{Site, Victim, cache_below, equal};
use anyhow::{Context, Result, ensure};
use bootstash::lifecycle::KillPoint;
use std::path::Path;

/// A trial of the matrix.
#[derive(Clone, Copy, Debug)]
pub(super) enum KillTrial {
    /// A daemon dies at a point.
    Daemon(KillPoint),
}

/// All of them.
pub(super) fn all() -> Vec<KillTrial> {
    KillPoint::ALL.iter().copied().map(KillTrial::Daemon).collect()
}

impl KillTrial {
    /// `victim/point`
    pub(super) fn name(self) -> String {
        match self {
            Self::Daemon(point) => match scene::of(point).victim() {
                Victim::Registrar => format!("registrar/{}", point.name()),
                Victim::Agent => format!("agent/{}", point.name()),
            },
        }
    }

    pub(super) async fn run(self, site: &mut Site) -> Result<()> {
        match self {
            Self::Daemon(point) => kill_daemon(site, point).await?,
        }
        site.life_goes_on().await
    }
}

async fn kill_daemon(site: &mut Site, point: KillPoint) -> Result<()> {
    let scene = scene::of(point);
    scene.prepare(site).await.context("before the kill")?;
    site.daemon(scene.victim()).arm(point)?;
    // An error here is the death of who was asked.
    let _ = scene.play(site).await;
    site.daemon(scene.victim()).dies().await?;
    site.start_daemon(scene.victim()).await.context("after the kill")?;
    site.in_step().await.context("after the kill")?;
    ensure!(scene != Scene::RegisterInVain || site.tools.struck("zfs"), "the snapshot did not fail");
    scene.clear_up(site).await.context("clearing up after the kill")
}

impl Site {
    /// A registration, an overlay and a collection work; no byte is wrong, and nothing is left over.
    pub(super) async fn life_goes_on(&mut self) -> Result<()> {
        self.in_step().await?;
        let live = self.live.as_ref().context("a VM runs")?;
        live.is_unchanged()?;
        self.tidy().await?;
        self.register_new().await.context("a registration after the kill")?;
        self.in_step().await?;
        self.every_byte_is_right().await?;
        self.collect(Victim::Registrar).await?;
        self.collect(Victim::Agent).await?;
        self.in_step().await?;
        self.tidy().await?;
        // Few images, so that looking at all of them stays quick.
        while self.images.len() > 2 {
            let image = self.images.remove(1);
            self.deregister(&image.name, false).await?;
        }
        Ok(())
    }

    /// Through a fresh view of the newest snapshot, every image that is registered.
    async fn every_byte_is_right(&self) -> Result<()> {
        let newest = self.images.last().context("an image")?;
        let overlay = self.overlay(&newest.name, "fresh").await?;
        equal(&overlay.path, &newest.base)?;
        let view = overlay.cache.ancestors().nth(3).context("a cache below its view")?;
        for image in &self.images {
            let there = std::fs::read(cache_below(view, &image.name)?).context(image.name.clone())?;
            ensure!(there == image.bytes()?, "the cache of {} holds wrong bytes", image.name);
        }
        self.remove_overlay(&overlay.path).await?;
        Ok(())
    }

    /// For a person who looks at a trial that failed.
    pub(super) fn end_of_logs(&self) -> String {
        [&self.registrar.log, &self.agent.log].map(|log| end_of(log)).join("\n")
    }
}

fn end_of(log: &Path) -> String {
    const LINES: usize = 25;
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    format!("---- {} ----\n{}", log.display(), lines[lines.len().saturating_sub(LINES)..].join("\n"))
}
