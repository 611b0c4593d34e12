//! Made-up values for tests.

use super::{Capturer, StepFailure};
use crate::capture::{Boots, Captured};
use async_trait::async_trait;
use bootstash_base::error::ErrorClass;
use bootstash_base::names::{Guid, SnapshotName};
use bootstash_delta::catalog::*;
use bootstash_disk::firmware::Firmware;
use bootstash_disk::*;
use bootstash_net::api::{CaptureChoices, Progress, Step};
use bootstash_qemu::Accelerator;
use bootstash_zfs::Snapshot;
use chrono::DateTime;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub(crate) fn manifest(name: &str) -> Manifest {
    Manifest {
        version: Manifest::VERSION,
        name: name.parse().unwrap(),
        source: source("/srv/images/base.raw".as_ref()),
        cache: CacheFacts { bytes: 6, cluster_bytes: 65536, data_clusters: 1, zero_clusters: 2 },
        boots: vec![BootRecord {
            seconds: 1.5,
            base_bytes: 65536,
            new_clusters: 1,
            signal: BootSignal::LoginPrompt,
            profile: Some("libvirt".to_owned()),
            began_seconds: 0.0,
            retried_after: None,
        }],
        unbooted: Vec::new(),
        confidence: Confidence::High,
        accelerator: "tcg".to_owned(),
        seed: true,
        boots_to_follow: 0,
        registered: DateTime::UNIX_EPOCH,
    }
}

pub(crate) fn source(path: &Path) -> Source {
    Source {
        path: path.to_owned(),
        format: ImageFormat::Raw,
        virtual_size_bytes: 1 << 20,
        identity: BaseIdentity {
            size_bytes: 1 << 20,
            mtime_ns: 1,
            sample_digest: "00".to_owned(),
            inode: None,
            content: None,
        },
        firmware: Firmware::Bios,
    }
}

pub(crate) fn snapshot_name(number: u64) -> SnapshotName {
    SnapshotName::new(number, DateTime::UNIX_EPOCH)
}

pub(crate) fn snapshot(number: u64) -> Snapshot {
    Snapshot { name: snapshot_name(number), guid: Guid::new(number * 1000), created: DateTime::UNIX_EPOCH }
}

/// A capturer that boots nothing.
#[derive(Debug, Default)]
pub(crate) struct FakeCapturer {
    fail_at: Mutex<Option<Step>>,
    lose_cache: AtomicBool,
    hold: AtomicBool,
    adopted: Mutex<Vec<PathBuf>>,
    first_rounds: AtomicBool,
    hold_following: AtomicBool,
}

impl FakeCapturer {
    /// The next time at this step, fail.
    pub(crate) fn fail_at(&self, step: Step) {
        *self.fail_at.lock().unwrap() = Some(step);
    }

    /// The next capture leaves no file.
    pub(crate) fn lose_cache(&self) {
        self.lose_cache.store(true, Ordering::Relaxed);
    }

    /// Captures begin and do not end, until they are cancelled.
    pub(crate) fn hold(&self, hold: bool) {
        self.hold.store(hold, Ordering::Relaxed);
    }

    /// The first round of boots is not all of them: a boot is left to follow, which reads something new.
    pub(crate) fn make_first_rounds(&self) {
        self.first_rounds.store(true, Ordering::Relaxed);
    }

    /// The same for boots that follow.
    pub(crate) fn hold_following(&self, hold: bool) {
        self.hold_following.store(hold, Ordering::Relaxed);
    }

    /// The caches it adopted, in order.
    pub(crate) fn adopted(&self) -> Vec<PathBuf> {
        self.adopted.lock().unwrap().clone()
    }

    pub(crate) fn write_cache(work_dir: &Path) {
        std::fs::create_dir_all(work_dir).unwrap();
        std::fs::write(work_dir.join(CACHE_FILE), b"cached").unwrap();
    }

    fn pass(&self, step: Step) -> Result<(), StepFailure> {
        match self.fail_at.lock().unwrap().take_if(|at| *at == step) {
            Some(_) => Err(StepFailure { error: "as told".to_owned(), kind: ErrorClass::Permanent }),
            None => Ok(()),
        }
    }
}

fn captured(work_dir: &Path) -> Captured {
    let Manifest { cache: facts, boots, confidence, .. } = manifest("any");
    Captured {
        cache: work_dir.join(CACHE_FILE),
        facts,
        boots,
        unbooted: Vec::new(),
        confidence,
        accelerator: Some(Accelerator::Tcg),
        seed: true,
        content: None,
        boots_to_follow: 0,
    }
}

#[async_trait]
impl Capturer for FakeCapturer {
    async fn inspect(&self, path: &Path, _: Option<ImageFormat>) -> Result<Source, StepFailure> {
        self.pass(Step::Inspect)?;
        let mut source = source(path);
        source.identity = BaseIdentity::of(path).unwrap_or(source.identity);
        Ok(source)
    }

    async fn capture(
        &self,
        _: &Source,
        _: &CaptureChoices,
        which: Boots,
        work_dir: &Path,
        _: &watch::Sender<Progress>,
        cancel: &CancellationToken,
    ) -> Result<Captured, StepFailure> {
        self.pass(Step::Capture)?;
        let hold = match which {
            Boots::Following(_) => &self.hold_following,
            Boots::All | Boots::FirstRound => &self.hold,
        };
        if hold.load(Ordering::Relaxed) {
            Self::write_cache(work_dir);
            cancel.cancelled().await;
            return Err(StepFailure { error: "cancelled".to_owned(), kind: ErrorClass::Cancelled });
        }
        if !self.lose_cache.swap(false, Ordering::Relaxed) {
            Self::write_cache(work_dir);
        }
        let mut captured = captured(work_dir);
        match which {
            Boots::FirstRound if self.first_rounds.load(Ordering::Relaxed) => {
                (captured.boots_to_follow, captured.confidence) = (1, Confidence::Low);
            }
            Boots::Following(published) => captured.boots.extend(published.manifest.boots),
            Boots::FirstRound | Boots::All => (),
        }
        Ok(captured)
    }

    /// As from a cache without a record of its boots.
    async fn adopt(&self, _: &Source, cache: &Path, work_dir: &Path) -> Result<Captured, StepFailure> {
        self.pass(Step::Capture)?;
        self.adopted.lock().unwrap().push(cache.to_owned());
        Self::write_cache(work_dir);
        let (boots, confidence) = (Vec::new(), Confidence::Low);
        Ok(Captured { boots, confidence, accelerator: None, seed: false, ..captured(work_dir) })
    }

    async fn verify(&self, _: &Path, _: &Source) -> Result<(), StepFailure> {
        self.pass(Step::Verify)
    }
}
