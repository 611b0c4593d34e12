//! The boots of one image, round after round, until one reads nothing new.
//!
//! Promises: no more guests run than there are free processors; a boot that fails in a way that may be chance is tried
//! once more, so that it does not undo the others; dropping the future ends all guests.

use super::boot::{self, BootPlan, Booted};
use super::error::CaptureError;
use super::findings::Findings;
use super::progress::{BootReporter, Reporter};
use super::scan::{self, Scanned};
use super::schedule::{Schedule, in_order};
use super::{Boots, CaptureRequest, cache, on_disk};
use bootstash_base::error::Chain;
use bootstash_delta::catalog::{BootRecord, CacheFacts, Unbooted};
use bootstash_disk::nbd::DiskImage;
use bootstash_net::api::Progress;
use bootstash_qemu::{Accelerator, HardwareProfile, Qemu};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;
use tokio::time::Instant;

/// The boots of one image.
pub(super) struct Series<'a> {
    pub(super) qemu: &'a Qemu,
    pub(super) request: &'a CaptureRequest,
    pub(super) accelerator: Accelerator,
    pub(super) base: &'a DiskImage,
    pub(super) scratch: &'a Path,
    pub(super) progress: &'a watch::Sender<Progress>,
    pub(super) began: Instant,
    /// Whether any of them came up.
    pub(super) came_up: AtomicBool,
}

/// What the boots came to.
pub(super) struct Outcome {
    /// The cache, in scratch.
    pub(super) cache: PathBuf,
    /// Facts about it.
    pub(super) facts: CacheFacts,
    /// All that was found.
    pub(super) findings: Findings,
    /// How many boots are still to be made.
    pub(super) to_follow: u32,
}

/// How a boot of a round ended.
enum Attempt {
    Booted(Booted),
    /// It never came up on that hardware.
    Never(HardwareProfile, CaptureError),
}

/// What a round starts from.
#[derive(Clone, Copy)]
struct Known<'a> {
    /// Boots so far.
    boots: u32,
    /// The cache of what they read; none before the first.
    cache: Option<&'a Path>,
    clusters: u64,
    /// Profiles not to boot on again.
    unbooted: &'a [Unbooted],
}

impl Series<'_> {
    /// Runs those that were asked for.
    pub(super) async fn run(&self) -> Result<Outcome, CaptureError> {
        let schedule = Schedule::new(self.request.profiles().count(), self.request.config.max_boots);
        let (mut findings, mut round) = self.begin(schedule).await?;
        loop {
            let (booted, never) = ended(round);
            in_order(booted).into_iter().for_each(|booted| findings.add(booted));
            for (profile, error) in never {
                let unbooted = self.leave_out(profile, error, &findings.boots)?;
                findings.unbooted.push(unbooted);
            }
            let made = findings.boots_made();
            let cache = self.scratch.join(format!("cache-{made}.qcow2"));
            let facts = cache::write(self.base, &self.request.image, &findings, &cache).await?;
            let to_follow = schedule.wanted(made, findings.nothing_new());
            if to_follow == 0 || matches!(self.request.boots, Boots::FirstRound) {
                return Ok(Outcome { cache, facts, findings, to_follow });
            }
            let clusters = findings.clusters.len() as u64;
            let so_far = Known { boots: made, cache: Some(&cache), clusters, unbooted: &findings.unbooted };
            round = self.round(to_follow, so_far).await?;
            remove(cache).await?;
        }
    }

    /// What is known to begin with, and the first round, where there was none before.
    async fn begin(&self, schedule: Schedule) -> Result<(Findings, Vec<Attempt>), CaptureError> {
        if let Boots::Following(published) = &self.request.boots {
            return Ok((Findings::of_published(published).await?, Vec::new()));
        }
        let nothing = Known { boots: 0, cache: None, clusters: 0, unbooted: &[] };
        // Side by side: both read the same file only once.
        let (scanned, round) = tokio::try_join!(self.scan(), self.round(schedule.wanted(0, false), nothing))?;
        Ok((Findings::scanned(scanned), round))
    }

    async fn scan(&self) -> Result<Scanned, CaptureError> {
        let image = &self.request.image;
        let scanned = scan::scan(self.base, image).await;
        scanned.map_err(|source| CaptureError::Scan { path: image.path.clone(), source })
    }

    /// As many boots of those `wanted` as there are free processors.
    async fn round(&self, wanted: u32, known: Known<'_>) -> Result<Vec<Attempt>, CaptureError> {
        let slots = self.request.slots.take(wanted, self.progress).await;
        let last = known.boots + slots.len() as u32;
        let boots = (known.boots + 1..).zip(slots).map(|(number, slot)| async move {
            let booted = self.boot(number, last, known).await;
            drop(slot);
            match booted {
                Err(never @ CaptureError::NeverBooted { .. }) => {
                    Ok(Attempt::Never(self.profile(number, known), never))
                }
                other => other.map(Attempt::Booted),
            }
        });
        futures::future::try_join_all(boots).await
    }

    /// The profiles have their turns, but for those that the image does not come up on.
    fn profile(&self, number: u32, known: Known<'_>) -> HardwareProfile {
        let profiles = self.request.profiles();
        let unbooted = |profile: &HardwareProfile| {
            known.unbooted.iter().any(|unbooted| unbooted.profile == profile.as_str())
        };
        let mut turns = (number..number + profiles.count()).map(|turn| profiles.of_boot(turn));
        turns.find(|profile| !unbooted(profile)).unwrap_or_else(|| profiles.of_boot(number))
    }

    /// An image that comes up on other hardware only lacks drivers for this one, which its VMs then do not have, either.
    fn leave_out(
        &self,
        profile: HardwareProfile,
        error: CaptureError,
        boots: &[BootRecord],
    ) -> Result<Unbooted, CaptureError> {
        let on_this = |boot: &BootRecord| boot.profile.as_deref() == Some(profile.as_str());
        let CaptureError::NeverBooted { failure, .. } = &error else { return Err(error) };
        if boots.is_empty() || boots.iter().any(on_this) {
            return Err(error);
        }
        let why = failure.to_string();
        let image = self.request.image.path.display();
        tracing::info!(%image, %profile, why, "the image comes up on other hardware, and not on this; it is left out");
        Ok(Unbooted { profile: profile.to_string(), why })
    }

    /// One boot; once more where it failed in a way that may be chance.
    async fn boot(&self, number: u32, last: u32, known: Known<'_>) -> Result<Booted, CaptureError> {
        let failure = match self.try_boot(number, last, known).await {
            Err(failure) if failure.may_be_chance(self.came_up.load(Ordering::Relaxed)) => failure,
            result => return result,
        };
        let error = Chain(&failure).to_string();
        let image = self.request.image.path.display();
        tracing::info!(%image, boot = number, error, "a capture boot failed, and is tried once more");
        match self.try_boot(number, last, known).await {
            Ok(booted) => Ok(Booted { retried_after: Some(error), ..booted }),
            Err(again) => Err(again.tried_twice()),
        }
    }

    async fn try_boot(&self, number: u32, last: u32, known: Known<'_>) -> Result<Booted, CaptureError> {
        let config = &self.request.config;
        let plan = BootPlan {
            number,
            profile: self.profile(number, known),
            image: &self.request.image,
            config,
            accelerator: self.accelerator,
            seed: self.request.seed(),
            source: Arc::new(self.base.clone()),
            cache: known.cache.map(Path::to_owned),
            scratch: self.scratch,
            series_began: self.began,
        };
        let first = number == known.boots + 1;
        let report = if first {
            Reporter::new(self.progress).of_boot(number, last, known.clusters)
        } else {
            BootReporter::silent()
        };
        let booted = boot::run(self.qemu, plan, &report).await?;
        self.came_up.store(true, Ordering::Relaxed);
        Ok(booted)
    }
}

/// Those that came up, and those that did not.
fn ended(round: Vec<Attempt>) -> (Vec<Booted>, Vec<(HardwareProfile, CaptureError)>) {
    let (mut booted, mut never) = (Vec::new(), Vec::new());
    for attempt in round {
        match attempt {
            Attempt::Booted(one) => booted.push(one),
            Attempt::Never(profile, error) => never.push((profile, error)),
        }
    }
    (booted, never)
}

async fn remove(path: PathBuf) -> Result<(), CaptureError> {
    let gone = path.clone();
    on_disk(|| std::fs::remove_file(gone)).await.map_err(|source| CaptureError::Write { path, source })
}
