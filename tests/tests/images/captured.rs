//! An image and its boot cache, captured as a registrar does.

use bootstash_daemon::config::CaptureConfig;
use bootstash_delta::catalog::BootRecord;
use bootstash_disk::Source;
use bootstash_net::api::{CaptureChoices, Progress};
use bootstash_qemu::Qemu;
use bootstash_registrar::capture::{Boots, CaptureRequest, GuestSlots, capture, verify};
use bootstash_tests::lab::plan::images_cache;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// An emulated guest on a machine that does much else.
pub(crate) const BOOT_LIMIT: Duration = Duration::from_secs(1800);

/// A captured image.
pub(crate) struct CapturedImage {
    /// What was inspected.
    pub(crate) source: Source,
    /// Its boot cache.
    pub(crate) cache: PathBuf,
    /// The boots that made it.
    pub(crate) record: CaptureRecord,
}

/// What is kept beside the cache, to use both again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CaptureRecord {
    /// What the image was made from.
    image_key: String,
    /// Size of the cache, in bytes.
    pub(crate) cache_bytes: u64,
    /// The boots, in order.
    pub(crate) boots: Vec<BootRecord>,
}

impl CapturedImage {
    /// Captures the image; or takes what an earlier run captured of it, where that is asked for.
    pub(crate) async fn of(name: &str) -> Self {
        let images = images_cache();
        let path = images.join(format!("{name}.raw"));
        assert!(path.exists(), "{} is missing; make test-images makes it", path.display());
        let image_key = std::fs::read_to_string(images.join(format!("{name}.key"))).unwrap_or_default();
        let source = Qemu::find().unwrap().inspect(&path, None).await.unwrap();
        let work_dir = directory().join(name);
        match reused(&work_dir, &image_key) {
            Some(record) => Self { source, cache: work_dir.join("cache.qcow2"), record },
            None => Self::capture(source, work_dir, image_key).await,
        }
    }

    async fn capture(source: Source, work_dir: PathBuf, image_key: String) -> Self {
        let qemu = Qemu::find().unwrap();
        let request = CaptureRequest {
            image: source.clone(),
            work_dir: work_dir.clone(),
            config: CaptureConfig { boot_timeout: BOOT_LIMIT, ..CaptureConfig::default() },
            choices: CaptureChoices::default(),
            boots: Boots::All,
            slots: GuestSlots::of_this_host(),
        };
        let (progress, _) = watch::channel(Progress::default());
        let captured = capture(&qemu, &request, &progress, &CancellationToken::new()).await.unwrap();
        verify(&qemu, &captured.cache, &source).await.unwrap();
        let record = CaptureRecord { image_key, cache_bytes: captured.facts.bytes, boots: captured.boots };
        std::fs::write(work_dir.join("record.json"), serde_json::to_vec_pretty(&record).unwrap()).unwrap();
        Self { source, cache: captured.cache, record }
    }
}

/// Where caches and results are kept.
pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("images")
}

fn reused(work_dir: &Path, image_key: &str) -> Option<CaptureRecord> {
    std::env::var("REUSE").ok().filter(|reuse| reuse == "1")?;
    let record: CaptureRecord =
        serde_json::from_slice(&std::fs::read(work_dir.join("record.json")).ok()?).ok()?;
    (record.image_key == image_key && work_dir.join("cache.qcow2").exists()).then_some(record)
}
