//! One trial: a process is killed and started again, and then everything must be as it should be.

use super::leftovers::guests;
use super::scenario::{self, Scenario};
use super::testbed::{Testbed, Victim, cache_below, equal};
use super::tools::{KillTarget, Moment};
use crate::lab::{wait, zfs_host};
use anyhow::{Context, Result, bail, ensure};
use bootstash_base::kill_point::KillPoint;
use bootstash_net::api::{JobOutcome, JobView, Step};
use nix::unistd::Pid;
use std::collections::BTreeSet;
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
    Zfs(&'static str, Moment, KillTarget, Scenario),
    /// The daemon of zfs-fuse is killed while nothing is asked of it.
    IdleZfsFuse,
    /// `qemu-img`, called with this word, is killed.
    QemuImg(&'static str, Moment),
    /// The guest of a capture boot is killed.
    Guest,
}

const ZFS: &[(&str, Moment, Scenario)] = {
    use Moment::{After, Amid, Before};
    &[
        ("list", Before, Scenario::Register),
        ("snapshot", Before, Scenario::Register),
        ("snapshot", Amid, Scenario::Register),
        ("snapshot", After, Scenario::Register),
        ("send", Before, Scenario::Register),
        ("send", Amid, Scenario::Register),
        ("send", After, Scenario::Register),
        ("receive", Before, Scenario::Apply),
        ("receive", Amid, Scenario::Apply),
        ("receive", After, Scenario::Apply),
        ("receive", Amid, Scenario::Resync),
        ("receive", After, Scenario::Resync),
        ("mountpoint=none", Before, Scenario::Resync),
        ("clone", Before, Scenario::Overlay),
        ("clone", Amid, Scenario::Overlay),
        ("clone", After, Scenario::Overlay),
        ("unmount", After, Scenario::RemoveOverlay),
        ("destroy", Before, Scenario::RemoveOverlay),
        ("destroy", Amid, Scenario::RemoveOverlay),
        ("destroy", After, Scenario::RemoveOverlay),
        ("destroy", Before, Scenario::Collect),
        ("destroy", After, Scenario::Collect),
    ]
};

const ZFS_FUSE: &[(&str, Moment, Scenario)] = {
    use Moment::{After, Amid, Before};
    &[
        ("snapshot", Before, Scenario::Register),
        ("snapshot", After, Scenario::Register),
        ("send", Amid, Scenario::Register),
        ("receive", Amid, Scenario::Apply),
        ("receive", After, Scenario::Apply),
        ("receive", Amid, Scenario::Resync),
        ("clone", After, Scenario::Overlay),
        ("destroy", Before, Scenario::Collect),
    ]
};

/// All trials that this ZFS allows.
pub(super) fn all() -> Vec<KillTrial> {
    let mut all: Vec<_> = KillPoint::ALL.iter().copied().map(KillTrial::Daemon).collect();
    let target =
        |target| move |&(word, moment, scenario): &(_, _, _)| KillTrial::Zfs(word, moment, target, scenario);
    all.extend(ZFS.iter().map(target(KillTarget::Program)));
    if zfs_host::is_zfs_fuse() {
        all.push(KillTrial::IdleZfsFuse);
        all.extend(ZFS_FUSE.iter().map(target(KillTarget::ZfsFuse)));
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
            Self::Daemon(point) => match scenario::of(point).victim() {
                Victim::Registrar => format!("registrar/{}", point.name()),
                Victim::Agent => format!("agent/{}", point.name()),
            },
            Self::Zfs(word, moment, target, scenario) => {
                format!("{target}/{scenario}/{}.{moment}", word.split('=').next().unwrap_or_default())
            }
            Self::IdleZfsFuse => "zfs-fuse/idle".to_owned(),
            Self::QemuImg(word, moment) => format!("qemu-img/register/{word}.{moment}"),
            Self::Guest => "qemu/boot".to_owned(),
        }
    }

    pub(super) async fn run(self, testbed: &mut Testbed) -> Result<()> {
        match self {
            Self::Daemon(point) => kill_daemon(testbed, point).await?,
            Self::Zfs(word, moment, KillTarget::Program, scenario) => {
                kill_zfs(testbed, word, moment, scenario).await?
            }
            Self::Zfs(word, moment, KillTarget::ZfsFuse, scenario) => {
                kill_zfs_fuse(testbed, word, moment, scenario).await?
            }
            Self::IdleZfsFuse => kill_idle_zfs_fuse(testbed).await?,
            Self::QemuImg(word, moment) => kill_qemu_img(testbed, word, moment).await?,
            Self::Guest => kill_guest(testbed).await?,
        }
        testbed.still_works().await
    }
}

async fn kill_daemon(testbed: &mut Testbed, point: KillPoint) -> Result<()> {
    let scenario = scenario::of(point);
    scenario.prepare(testbed).await.context("before the kill")?;
    testbed.daemon(scenario.victim()).arm(point)?;
    // An error here is the death of who was asked.
    drop(scenario.trigger(testbed).await);
    testbed.daemon(scenario.victim()).dies().await?;
    testbed.start_daemon(scenario.victim()).await.context("after the kill")?;
    testbed.in_step().await.context("after the kill")?;
    ensure!(
        scenario != Scenario::RegisterFails || testbed.tools.was_killed("zfs"),
        "the snapshot did not fail"
    );
    scenario.clean_up(testbed).await.context("cleaning up after the kill")
}

/// The daemons live on; what failed is tried again by them, or by who asked for it.
async fn kill_zfs(testbed: &mut Testbed, word: &str, moment: Moment, scenario: Scenario) -> Result<()> {
    scenario.prepare(testbed).await.context("before the kill")?;
    testbed.tools.plan("zfs", word, moment, KillTarget::Program)?;
    // What became of it shows in what is left.
    drop(scenario.trigger(testbed).await);
    testbed.until("zfs is killed", async || Ok(testbed.tools.was_killed("zfs").then_some(()))).await?;
    ensure!(testbed.registrar.is_running() && testbed.agent.is_running(), "a daemon died of it");
    testbed.node_is_at_the_log().await.context("after the kill")?;
    scenario.clean_up(testbed).await.context("cleaning up after the kill")?;
    // What a person would do, or the daily timer: some of what could not be removed waits for it.
    testbed.in_step().await?;
    testbed.collect(Victim::Registrar).await?;
    testbed.collect(Victim::Agent).await.map(drop)
}

async fn kill_zfs_fuse(testbed: &mut Testbed, word: &str, moment: Moment, scenario: Scenario) -> Result<()> {
    scenario.prepare(testbed).await.context("before the kill")?;
    testbed.tools.plan("zfs", word, moment, KillTarget::ZfsFuse)?;
    // The scenario can wait for ZFS to be back, so that another task has to start it.
    let (reached, zfs_dir) = (testbed.tools.reached("zfs"), testbed.zfs_dir.clone());
    let reviving = tokio::task::spawn_blocking(move || {
        wait::until("zfs-fuse to be killed", REACH, || Ok(reached.exists().then_some(())))?;
        zfs_host::revive_zfs_fuse(&zfs_dir)
    });
    drop(scenario.trigger(testbed).await);
    after_zfs_fuse(testbed, reviving.await??).await?;
    scenario.clean_up(testbed).await.context("cleaning up after the kill")?;
    testbed.in_step().await?;
    testbed.collect(Victim::Registrar).await?;
    testbed.collect(Victim::Agent).await.map(drop)
}

async fn kill_idle_zfs_fuse(testbed: &mut Testbed) -> Result<()> {
    zfs_host::kill_zfs_fuse(&testbed.zfs_dir)?;
    ensure!(std::fs::read(&testbed.live.as_ref().context("a VM")?.overlay.cache).is_err(), "zfs-fuse lives");
    let revived = zfs_host::revive_zfs_fuse(&testbed.zfs_dir)?;
    after_zfs_fuse(testbed, revived).await
}

/// It is started again, as by systemd; the daemons find back by themselves.
async fn after_zfs_fuse(testbed: &mut Testbed, revived: Child) -> Result<()> {
    if let Some(mut dead) = testbed.zfs_fuse.replace(revived) {
        dead.wait()?;
    }
    ensure!(testbed.registrar.is_running() && testbed.agent.is_running(), "a daemon died of it");
    let cache = testbed.live.as_ref().context("a VM")?.overlay.cache.clone();
    let (cache, head) = (cache.as_path(), testbed.head().join("images"));
    testbed
        .until("what was mounted is mounted again", async || {
            Ok((cache.exists() && head.exists()).then_some(()))
        })
        .await?;
    testbed.live.as_mut().context("a VM")?.reopen()?;
    testbed.node_is_at_the_log().await.context("after the kill")
}

/// The job fails at its step, and leaves nothing.
async fn kill_qemu_img(testbed: &mut Testbed, word: &str, moment: Moment) -> Result<()> {
    testbed.tools.plan("qemu-img", word, moment, KillTarget::Program)?;
    let image = testbed.new_image()?;
    let outcome = testbed.register(&image).await?;
    ensure!(testbed.tools.was_killed("qemu-img"), "qemu-img was not called so");
    ensure!(matches!(outcome, JobOutcome::Failed { .. }), "{outcome:?}");
    testbed.no_leftovers().await?;
    let outcome = testbed.register(&image).await?;
    ensure!(matches!(outcome, JobOutcome::Registered { .. }), "{outcome:?}");
    testbed.images.push(image);
    Ok(())
}

/// A boot that dies is tried once more; then the job fails at its step, and leaves nothing.
async fn kill_guest(testbed: &mut Testbed) -> Result<()> {
    let request = scenario::silent_guest(testbed)?;
    let mut killed = BTreeSet::new();
    let outcome = tokio::select! {
        outcome = testbed.follow(&request) => outcome?,
        failed = testbed.kill_booting_guests(&mut killed) => failed?,
    };
    let JobOutcome::Failed { step: Step::Capture, error, .. } = &outcome else { bail!("{outcome:?}") };
    ensure!(killed.len() >= 2 && error.contains("tried twice"), "{} were killed: {error}", killed.len());
    testbed.no_leftovers().await?;
    testbed.follow(&scenario::boot(testbed)?).await?;
    Scenario::Boot.clean_up(testbed).await
}

impl Testbed {
    /// Kills each guest once it has read of its disk; gives up when there is none for long.
    async fn kill_booting_guests(&self, killed: &mut BTreeSet<Pid>) -> Result<JobOutcome> {
        loop {
            let next = async || {
                let read = |job: &JobView| {
                    job.outcome.is_none() && job.progress.clusters.is_some_and(|read| read > 0)
                };
                let boots = self.jobs().await?.iter().any(read);
                let mut guests = guests(&self.dir)?.into_iter();
                let guest = guests.find(|(pid, line)| line.contains("qemu-system") && !killed.contains(pid));
                Ok(guest.filter(|_| boots).map(|(pid, _)| pid))
            };
            let pid = self.until("a guest boots", next).await?;
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL)?;
            killed.insert(pid);
        }
    }

    /// A registration, an overlay and a collection work; no byte is wrong, and nothing is left over.
    pub(super) async fn still_works(&mut self) -> Result<()> {
        self.in_step().await?;
        let live = self.live.as_ref().context("a VM runs")?;
        live.is_unchanged()?;
        self.no_leftovers().await?;
        self.register_new().await.context("a registration after the kill")?;
        self.in_step().await?;
        self.every_byte_is_right().await?;
        self.collect(Victim::Registrar).await?;
        self.collect(Victim::Agent).await?;
        self.in_step().await?;
        self.no_leftovers().await?;
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
