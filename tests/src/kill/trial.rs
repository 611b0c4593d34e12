//! One trial: somebody dies, is started again, and all is as it should be.

use super::scene::{self, Scene};
use super::site::{Site, Victim, cache_below, equal};
use super::tidy::guests;
use super::tools::{Moment, Struck};
use crate::lab::{wait, zfs_host};
use anyhow::{Context, Result, ensure};
use bootstash_base::kill_point::KillPoint;
use bootstash_net::api::{JobOutcome, JobView, Step};
use std::path::Path;
use std::process::Child;
use std::time::Duration;

/// From the act to the kill, under load.
const REACH: Duration = Duration::from_secs(60);

/// A trial of the matrix.
#[derive(Clone, Copy, Debug)]
pub(super) enum KillTrial {
    /// A daemon dies at a point.
    Daemon(KillPoint),
    /// `zfs`, called with this word, is killed, or the daemon of zfs-fuse while it works.
    Zfs(&'static str, Moment, Struck, Scene),
    /// The daemon of zfs-fuse is killed while nothing is asked of it.
    IdleZfsFuse,
    /// `qemu-img`, called with this word, is killed.
    QemuImg(&'static str, Moment),
    /// The guest of a capture boot is killed.
    Guest,
}

const ZFS: &[(&str, Moment, Scene)] = {
    use Moment::{After, Amid, Before};
    &[
        ("list", Before, Scene::Register),
        ("snapshot", Before, Scene::Register),
        ("snapshot", Amid, Scene::Register),
        ("snapshot", After, Scene::Register),
        ("send", Before, Scene::Register),
        ("send", Amid, Scene::Register),
        ("send", After, Scene::Register),
        ("receive", Before, Scene::Apply),
        ("receive", Amid, Scene::Apply),
        ("receive", After, Scene::Apply),
        ("receive", Amid, Scene::Resync),
        ("receive", After, Scene::Resync),
        ("mountpoint=none", Before, Scene::Resync),
        ("clone", Before, Scene::Overlay),
        ("clone", Amid, Scene::Overlay),
        ("clone", After, Scene::Overlay),
        ("unmount", After, Scene::RemoveOverlay),
        ("destroy", Before, Scene::RemoveOverlay),
        ("destroy", Amid, Scene::RemoveOverlay),
        ("destroy", After, Scene::RemoveOverlay),
        ("destroy", Before, Scene::Collect),
        ("destroy", After, Scene::Collect),
    ]
};

const ZFS_FUSE: &[(&str, Moment, Scene)] = {
    use Moment::{After, Amid, Before};
    &[
        ("snapshot", Before, Scene::Register),
        ("snapshot", After, Scene::Register),
        ("send", Amid, Scene::Register),
        ("receive", Amid, Scene::Apply),
        ("receive", After, Scene::Apply),
        ("receive", Amid, Scene::Resync),
        ("clone", After, Scene::Overlay),
        ("destroy", Before, Scene::Collect),
    ]
};

/// All of them.
pub(super) fn all() -> Vec<KillTrial> {
    let mut all: Vec<_> = KillPoint::ALL.iter().copied().map(KillTrial::Daemon).collect();
    let struck =
        |struck| move |&(word, moment, scene): &(_, _, _)| KillTrial::Zfs(word, moment, struck, scene);
    all.extend(ZFS.iter().map(struck(Struck::Program)));
    if zfs_host::is_zfs_fuse() {
        all.push(KillTrial::IdleZfsFuse);
        all.extend(ZFS_FUSE.iter().map(struck(Struck::ZfsFuse)));
    }
    // To inspect a raw image, as these are, needs no program.
    all.extend(["check", "compare"].map(|word| KillTrial::QemuImg(word, Moment::Before)));
    all.push(KillTrial::QemuImg("compare", Moment::After));
    all.push(KillTrial::Guest);
    all
}

impl KillTrial {
    /// `victim/point`
    pub(super) fn name(self) -> String {
        match self {
            Self::Daemon(point) => match scene::of(point).victim() {
                Victim::Registrar => format!("registrar/{}", point.name()),
                Victim::Agent => format!("agent/{}", point.name()),
            },
            Self::Zfs(word, moment, struck, scene) => {
                format!("{struck}/{scene}/{}.{moment}", word.split('=').next().unwrap_or_default())
            }
            Self::IdleZfsFuse => "zfs-fuse/idle".to_owned(),
            Self::QemuImg(word, moment) => format!("qemu-img/register/{word}.{moment}"),
            Self::Guest => "qemu/boot".to_owned(),
        }
    }

    pub(super) async fn run(self, site: &mut Site) -> Result<()> {
        match self {
            Self::Daemon(point) => kill_daemon(site, point).await?,
            Self::Zfs(word, moment, Struck::Program, scene) => kill_zfs(site, word, moment, scene).await?,
            Self::Zfs(word, moment, Struck::ZfsFuse, scene) => {
                kill_zfs_fuse(site, word, moment, scene).await?
            }
            Self::IdleZfsFuse => kill_idle_zfs_fuse(site).await?,
            Self::QemuImg(word, moment) => kill_qemu_img(site, word, moment).await?,
            Self::Guest => kill_guest(site).await?,
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

/// The daemons live on; what failed is tried again by them, or by who asked for it.
async fn kill_zfs(site: &mut Site, word: &str, moment: Moment, scene: Scene) -> Result<()> {
    scene.prepare(site).await.context("before the kill")?;
    site.tools.plan("zfs", word, moment, Struck::Program)?;
    // What became of it shows in what is left.
    let _ = scene.play(site).await;
    site.until("zfs is killed", async || Ok(site.tools.struck("zfs").then_some(()))).await?;
    ensure!(site.registrar.is_running() && site.agent.is_running(), "a daemon died of it");
    site.node_is_at_the_log().await.context("after the kill")?;
    scene.clear_up(site).await.context("clearing up after the kill")?;
    // What a person would do, or the daily timer: some of what could not be removed waits for it.
    site.in_step().await?;
    site.collect(Victim::Registrar).await?;
    site.collect(Victim::Agent).await.map(drop)
}

async fn kill_zfs_fuse(site: &mut Site, word: &str, moment: Moment, scene: Scene) -> Result<()> {
    scene.prepare(site).await.context("before the kill")?;
    site.tools.plan("zfs", word, moment, Struck::ZfsFuse)?;
    // Who plays can wait for ZFS to be back, so that somebody else has to see to that.
    let (reached, zfs_dir) = (site.tools.reached("zfs"), site.zfs_dir.clone());
    let reviving = tokio::task::spawn_blocking(move || {
        wait::until("zfs-fuse to be killed", REACH, || Ok(reached.exists().then_some(())))?;
        zfs_host::revive_zfs_fuse(&zfs_dir)
    });
    let _ = scene.play(site).await;
    after_zfs_fuse(site, reviving.await??).await?;
    scene.clear_up(site).await.context("clearing up after the kill")?;
    site.in_step().await?;
    site.collect(Victim::Registrar).await?;
    site.collect(Victim::Agent).await.map(drop)
}

async fn kill_idle_zfs_fuse(site: &mut Site) -> Result<()> {
    zfs_host::kill_zfs_fuse(&site.zfs_dir)?;
    ensure!(std::fs::read(&site.live.as_ref().context("a VM")?.overlay.cache).is_err(), "zfs-fuse lives");
    let revived = zfs_host::revive_zfs_fuse(&site.zfs_dir)?;
    after_zfs_fuse(site, revived).await
}

/// It is started again, as by systemd; the daemons find back by themselves.
async fn after_zfs_fuse(site: &mut Site, revived: Child) -> Result<()> {
    if let Some(mut dead) = site.zfs_fuse.replace(revived) {
        dead.wait()?;
    }
    ensure!(site.registrar.is_running() && site.agent.is_running(), "a daemon died of it");
    let cache = site.live.as_ref().context("a VM")?.overlay.cache.clone();
    let (cache, head) = (cache.as_path(), site.head().join("images"));
    site.until("what was mounted is mounted again", async || {
        Ok((cache.exists() && head.exists()).then_some(()))
    })
    .await?;
    site.live.as_mut().context("a VM")?.reopen()?;
    site.node_is_at_the_log().await.context("after the kill")
}

/// The job fails at its step, and leaves nothing.
async fn kill_qemu_img(site: &mut Site, word: &str, moment: Moment) -> Result<()> {
    site.tools.plan("qemu-img", word, moment, Struck::Program)?;
    let image = site.new_image()?;
    let outcome = site.register(&image).await?;
    ensure!(site.tools.struck("qemu-img"), "qemu-img was not called so");
    ensure!(matches!(outcome, JobOutcome::Failed { .. }), "{outcome:?}");
    site.tidy().await?;
    let outcome = site.register(&image).await?;
    ensure!(matches!(outcome, JobOutcome::Registered { .. }), "{outcome:?}");
    site.images.push(image);
    Ok(())
}

async fn kill_guest(site: &mut Site) -> Result<()> {
    let request = scene::mute(site)?;
    let (outcome, killed) = tokio::join!(site.follow(&request), site.kill_booting_guest());
    killed?;
    let outcome = outcome?;
    ensure!(matches!(outcome, JobOutcome::Failed { step: Step::Capture, .. }), "{outcome:?}");
    site.tidy().await?;
    site.follow(&scene::boot(site)?).await?;
    Scene::Boot.clear_up(site).await
}

impl Site {
    /// Waits until the guest has read of its disk, and kills it.
    async fn kill_booting_guest(&self) -> Result<()> {
        self.until("the guest boots", async || {
            let read =
                |job: &JobView| job.outcome.is_none() && job.progress.clusters.is_some_and(|read| read > 0);
            Ok(self.jobs().await?.iter().any(read).then_some(()))
        })
        .await?;
        let guests = guests(&self.dir)?;
        let guest = guests.iter().find(|(_, line)| line.contains("qemu-system"));
        let (pid, _) = guest.with_context(|| format!("no guest runs: {guests:?}"))?;
        Ok(nix::sys::signal::kill(*pid, nix::sys::signal::Signal::SIGKILL)?)
    }

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
