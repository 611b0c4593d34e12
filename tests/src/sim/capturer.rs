//! A capture that boots nothing. No two captures give the same cache, be it of one image: so what an
//! overlay chains onto cannot be mistaken.

use super::host::Life;
use crate::replication::without_boots;
use async_trait::async_trait;
use bootstash_base::error::ErrorClass;
use bootstash_delta::catalog::{CACHE_FILE, CacheFacts};
use bootstash_disk::{BaseIdentity, ImageFormat, Source};
use bootstash_net::api::{CaptureChoices, Progress};
use bootstash_registrar::capture::{Boots, Captured};
use bootstash_registrar::register::{Capturer, StepFailure};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const CAPTURE_MS: u64 = 6000;
const LOOK_MS: u64 = 300;
const COMMON_BYTES: usize = 1024;

/// Makes caches up, in one life of the registrar.
#[derive(Debug)]
pub(super) struct SimCapturer {
    pub(super) life: Life,
    pub(super) failing: Arc<AtomicU32>,
}

impl SimCapturer {
    async fn pass(&self, most_ms: u64) -> Result<(), StepFailure> {
        self.life.pause(0, most_ms).await;
        match self.life.host.happens(4 * self.failing.load(Ordering::Relaxed)) {
            true => Err(StepFailure { error: "it does not boot".to_owned(), kind: ErrorClass::Permanent }),
            false => Ok(()),
        }
    }

    fn cache(&self, path: &Path) -> Vec<u8> {
        let (which, own_bytes) = self.life.host.draw(|rng| (rng.u64(..), rng.usize(500..6000)));
        let mut bytes = vec![7; COMMON_BYTES + own_bytes];
        let mut own = blake3::Hasher::new();
        own.update(path.as_os_str().as_encoded_bytes()).update(&which.to_le_bytes());
        own.finalize_xof().fill(&mut bytes[COMMON_BYTES..]);
        bytes
    }
}

#[async_trait]
impl Capturer for SimCapturer {
    async fn inspect(&self, path: &Path, _: Option<ImageFormat>) -> Result<Source, StepFailure> {
        self.pass(LOOK_MS).await?;
        let identity = BaseIdentity::of(path)?;
        let virtual_size_bytes = identity.size_bytes;
        Ok(Source {
            path: path.to_owned(),
            format: ImageFormat::Raw,
            virtual_size_bytes,
            identity,
            firmware: Default::default(),
        })
    }

    async fn capture(
        &self,
        source: &Source,
        _: &CaptureChoices,
        _: Boots,
        work_dir: &Path,
        _: &watch::Sender<Progress>,
        stop: &CancellationToken,
    ) -> Result<Captured, StepFailure> {
        let passed = stop.run_until_cancelled(self.pass(CAPTURE_MS)).await;
        let stopped = || StepFailure { error: "stopping".to_owned(), kind: ErrorClass::Cancelled };
        passed.ok_or_else(stopped)??;
        let (bytes, cache) = (self.cache(&source.path), work_dir.join(CACHE_FILE));
        self.life.host.model.facts().captured.insert(blake3::hash(&bytes), source.path.clone());
        let written = std::fs::create_dir_all(work_dir).and_then(|()| std::fs::write(&cache, &bytes));
        written.map_err(|error| StepFailure::internal(&error))?;
        let facts = CacheFacts {
            bytes: bytes.len() as u64,
            cluster_bytes: 65536,
            data_clusters: 1,
            zero_clusters: 0,
        };
        without_boots(source, cache, facts)
    }

    async fn adopt(&self, source: &Source, _: &Path, work_dir: &Path) -> Result<Captured, StepFailure> {
        self.capture(
            source,
            &CaptureChoices::default(),
            Boots::All,
            work_dir,
            &watch::Sender::default(),
            &CancellationToken::new(),
        )
        .await
    }

    async fn verify(&self, _: &Path, _: &Source) -> Result<(), StepFailure> {
        self.pass(LOOK_MS).await
    }
}
