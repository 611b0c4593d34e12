//! From an inspected image to its boot cache: boots it from an export of its base that traces every
//! read, on each hardware profile and until a boot reads nothing new, and writes down what was read.
//!
//! Promises: the guest has no network and writes to an overlay that is thrown away; an image that does
//! not come up is an error with its last console lines, never a cache; scratch files go on every end.
//! When a boot is complete is decided in `detect`, how many boots there are in `schedule`; neither does I/O. A cache that exists already is taken
//! over by `adopt`, which boots nothing.

mod adopt;
mod boot;
mod cache;
mod detect;
mod error;
mod findings;
mod guest_slots;
mod progress;
mod scan;
mod schedule;
mod series;
mod verify;

pub use adopt::adopt;
pub use error::{CaptureError, VerifyError};
pub use findings::PublishedCache;
pub use guest_slots::GuestSlots;
pub use verify::verify;

use bootstash_base::kill_point::{KillPoint, kill_point};
use bootstash_daemon::config::CaptureConfig;
use bootstash_delta::catalog::{BootRecord, CacheFacts, Confidence, Unbooted};
use bootstash_disk::{ContentDigest, Source};
use bootstash_net::api::CaptureChoices;
use bootstash_qemu::{Accelerator, HardwareProfiles, Qemu};
use findings::Findings;
use series::{Outcome, Series};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tempfile::{TempDir, TempPath};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Which of an image's boots to make.
#[derive(Clone, Debug)]
pub enum Boots {
    /// All.
    All,
    /// As many as run side by side, so that nodes have the cache soon.
    FirstRound,
    /// Those that are still to be made for a cache which nodes have.
    Following(PublishedCache),
}

/// What to capture, and how.
#[derive(Clone, Debug)]
pub struct CaptureRequest {
    /// The image, by its file.
    pub image: Source,
    /// A directory on a local file system with room for the cache; made where it is missing.
    pub work_dir: PathBuf,
    /// How to boot.
    pub config: CaptureConfig,
    /// How many guests this host runs at once.
    pub slots: GuestSlots,
    /// What was asked for of this image.
    pub choices: CaptureChoices,
    /// Which boots to make.
    pub boots: Boots,
}

impl CaptureRequest {
    /// Whether its guests get a seed of cloud-init.
    fn seed(&self) -> bool {
        match &self.boots {
            Boots::Following(published) => published.manifest.seed,
            Boots::All | Boots::FirstRound => self.config.seed && !self.choices.no_seed,
        }
    }

    /// How long before now the first boot of the image began, as far as its boots are on record.
    fn began_before(&self) -> Duration {
        let Boots::Following(published) = &self.boots else { return Duration::ZERO };
        let ends = published.manifest.boots.iter().map(|boot| boot.began_seconds + boot.seconds);
        Duration::try_from_secs_f64(ends.fold(0.0, f64::max)).unwrap_or_default()
    }

    /// The hardware that its guests run on.
    fn profiles(&self) -> &HardwareProfiles {
        self.choices.profiles.as_ref().unwrap_or(&self.config.profiles)
    }
}

/// A boot cache, not yet verified.
#[derive(Clone, Debug)]
pub struct Captured {
    /// The file, `cache.qcow2` in the work directory.
    pub cache: PathBuf,
    /// Facts about it.
    pub facts: CacheFacts,
    /// The boots, in order; none where it was adopted without a record of them.
    pub boots: Vec<BootRecord>,
    /// The hardware profiles that it did not come up on.
    pub unbooted: Vec<Unbooted>,
    /// How far to trust it.
    pub confidence: Confidence,
    /// What ran the guest; none where no boot is on record.
    pub accelerator: Option<Accelerator>,
    /// What the image's file holds; none where nobody has read it.
    pub content: Option<ContentDigest>,
    /// Whether the guests had a seed of cloud-init.
    pub seed: bool,
    /// How many boots are still to be made.
    pub boots_to_follow: u32,
}

/// Captures an image. On an error, and when the future is dropped, nothing is left in the work
/// directory.
///
/// # Errors
/// See [`CaptureError`].
pub async fn capture(
    qemu: &Qemu,
    request: &CaptureRequest,
    progress: &watch::Sender<bootstash_net::api::Progress>,
    cancel: &CancellationToken,
) -> Result<Captured, CaptureError> {
    let image = &request.image;
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(CaptureError::Cancelled { path: image.path.clone() }),
        captured = run(qemu, request, progress) => captured,
    }
}

async fn run(
    qemu: &Qemu,
    request: &CaptureRequest,
    progress: &watch::Sender<bootstash_net::api::Progress>,
) -> Result<Captured, CaptureError> {
    let image = &request.image;
    let scratch = scratch(&request.work_dir).await?;
    let accelerator = qemu.accelerator(request.config.accelerator).await?;
    let base = qemu.open_image(image, scratch.path()).await?;
    let now = Instant::now();
    let series = Series {
        qemu,
        request,
        accelerator,
        base: &base,
        scratch: scratch.path(),
        progress,
        began: now.checked_sub(request.began_before()).unwrap_or(now),
        came_up: AtomicBool::new(false),
    };
    let Outcome { cache, facts, findings, to_follow } = series.run().await?;
    let Findings { boots, unbooted, content, .. } = findings;
    let complete = unbooted.is_empty() && to_follow == 0;
    let cache = keep(cache, &request.work_dir).await?;
    Ok(Captured {
        cache,
        facts,
        confidence: if complete { Confidence::after(&boots) } else { Confidence::Low },
        boots,
        unbooted,
        accelerator: Some(accelerator),
        content,
        seed: request.seed(),
        boots_to_follow: to_follow,
    })
}

/// Moves a cache out of scratch to where the next step looks for it, so that a power cut keeps it. One that nobody
/// waits for any more goes once it was moved.
async fn keep(cache: PathBuf, work_dir: &Path) -> Result<PathBuf, CaptureError> {
    let kept = work_dir.join(bootstash_delta::catalog::CACHE_FILE);
    let (to, dir) = (kept.clone(), work_dir.to_owned());
    on_disk(move || {
        std::fs::rename(cache, &to)?;
        let moved = TempPath::try_from_path(to)?;
        std::fs::File::open(dir)?.sync_all()?;
        Ok(moved)
    })
    .await
    .and_then(|moved| Ok(moved.keep()?))
    .map_err(|source| CaptureError::Write { path: kept.clone(), source })?;
    kill_point(KillPoint::CaptureKept);
    Ok(kept)
}

async fn scratch(work_dir: &Path) -> Result<TempDir, CaptureError> {
    let dir = work_dir.to_owned();
    on_disk(move || {
        let ours_alone = std::fs::Permissions::from_mode(0o700);
        std::fs::create_dir_all(&dir)?;
        tempfile::Builder::new().prefix("capture-").permissions(ours_alone).tempdir_in(dir)
    })
    .await
    .map_err(|source| CaptureError::Scratch { dir: work_dir.to_owned(), source })
}

/// Does `work` on a thread that may wait for a disk.
async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}
