//! A capture that boots nothing: the cache is made up, of bytes that depend on the image's name.

use async_trait::async_trait;
use bootstash_delta::catalog::{CACHE_FILE, CacheFacts, Confidence};
use bootstash_disk::{BaseIdentity, ContentDigest, ImageFormat, Source};
use bootstash_net::api::{CaptureChoices, Progress};
use bootstash_registrar::capture::{Boots, Captured};
use bootstash_registrar::register::{Capturer, StepFailure};
use std::path::{Path, PathBuf};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Bytes of each cache: half of it its own, half in common with every other.
pub(super) const CACHE_BYTES: usize = 2 << 20;

/// Those of a cache where only the number of caches matters.
pub(super) const TINY_CACHE_BYTES: usize = 64 << 10;

/// Makes caches up.
#[derive(Debug)]
pub(crate) struct SyntheticCapturer {
    pub(super) cache_bytes: usize,
}

impl Default for SyntheticCapturer {
    fn default() -> Self {
        Self { cache_bytes: CACHE_BYTES }
    }
}

/// What the cache of the image at `path` holds.
pub(super) fn cache_of(path: &Path) -> Vec<u8> {
    cache_of_size(path, CACHE_BYTES)
}

fn cache_of_size(path: &Path, cache_bytes: usize) -> Vec<u8> {
    let mut bytes = vec![0; cache_bytes];
    let (own, common) = bytes.split_at_mut(cache_bytes / 2);
    blake3::Hasher::new().update(path.as_os_str().as_encoded_bytes()).finalize_xof().fill(own);
    blake3::Hasher::new().finalize_xof().fill(common);
    bytes
}

#[async_trait]
impl Capturer for SyntheticCapturer {
    async fn inspect(&self, path: &Path, format: Option<ImageFormat>) -> Result<Source, StepFailure> {
        let identity = BaseIdentity::of(path)?;
        Ok(Source {
            path: path.to_owned(),
            format: format.unwrap_or(ImageFormat::Raw),
            virtual_size_bytes: identity.size_bytes,
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
        _: &CancellationToken,
    ) -> Result<Captured, StepFailure> {
        let cache = work_dir.join(CACHE_FILE);
        let written = std::fs::create_dir_all(work_dir)
            .and_then(|()| std::fs::write(&cache, cache_of_size(&source.path, self.cache_bytes)));
        written.map_err(|error| StepFailure::internal(&error))?;
        let facts = CacheFacts {
            bytes: self.cache_bytes as u64,
            cluster_bytes: 65536,
            data_clusters: self.cache_bytes as u64 / 65536,
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
        Ok(())
    }
}

/// What a capture comes to that booted nothing.
pub(crate) fn without_boots(
    source: &Source,
    cache: PathBuf,
    facts: CacheFacts,
) -> Result<Captured, StepFailure> {
    let content = std::fs::File::open(&source.path).and_then(|file| ContentDigest::of(&file, || Ok(())));
    Ok(Captured {
        cache,
        facts,
        boots: Vec::new(),
        unbooted: Vec::new(),
        confidence: Confidence::Low,
        accelerator: None,
        seed: false,
        content: Some(content.map_err(|error| StepFailure::internal(&error))?),
        boots_to_follow: 0,
    })
}
