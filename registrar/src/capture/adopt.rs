//! Taking over a boot cache that exists, instead of booting its image.
//!
//! Promises: the file is not trusted, and not changed. Only which clusters it holds, and their bytes, are
//! taken, and written anew as our own captures are: nothing else of it reaches the volume, and no file it
//! names is opened. Nobody waits on a disk in the runtime. Scratch files go on every end; where the future
//! is dropped, as soon as the thread that writes has seen it. Whether the cache shows the bytes of its
//! base is for `verify` to say.

use super::error::CaptureError;
use super::{Captured, cache, keep, scratch};
use bootstash_delta::catalog::{CACHE_FILE, CacheFacts, Confidence, MANIFEST_FILE, Manifest};
use bootstash_disk::qcow2::{CacheFile, Layout};
use bootstash_disk::{ContentDigest, Source};
use bootstash_qemu::{Accelerator, InspectCacheError, Qemu, Unfit};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// No manifest of ours comes near it.
const MANIFEST_MAX_BYTES: u64 = 1 << 20;

/// Makes a cache of `image` in `work_dir` with what the boot cache `file` holds. What is on record of its
/// boots comes from the manifest beside it, where that is of this very cache. On an error, and when the
/// future is dropped, nothing is left in the work directory.
///
/// # Errors
/// See [`CaptureError`].
pub async fn adopt(
    qemu: &Qemu,
    image: &Source,
    file: &Path,
    work_dir: &Path,
) -> Result<Captured, CaptureError> {
    let bytes = qemu.inspect_cache(file, image).await?;
    let stop = CancellationToken::new();
    let adoption = Adoption {
        image: image.clone(),
        file: file.to_owned(),
        bytes,
        scratch: scratch(work_dir).await?,
        stop: stop.clone(),
    };
    let _stops_on_drop = stop.drop_guard();
    let taken = tokio::task::spawn_blocking(move || adoption.run()).await;
    let Taken { scratch, facts, record, content } =
        taken.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
    let cache = keep(scratch.path().join(CACHE_FILE), work_dir).await?;
    let boots = record.as_ref().map(|manifest| manifest.boots.clone()).unwrap_or_default();
    let seed = record.as_ref().is_some_and(|manifest| manifest.seed);
    let accelerator = record.and_then(|manifest| accelerator(&manifest.accelerator));
    // A record that says more than its boots do is not believed.
    let confidence = Confidence::after(&boots);
    // What did not come up there was for the cache's own registrar to judge.
    let unbooted = Vec::new();
    let (content, boots_to_follow) = (Some(content), 0);
    Ok(Captured { cache, facts, confidence, boots, unbooted, accelerator, seed, content, boots_to_follow })
}

/// A cache to be written anew, on a thread for what blocks.
struct Adoption {
    image: Source,
    file: PathBuf,
    /// Size of the file.
    bytes: u64,
    /// Owned by the thread, which may still write when nobody waits for it any more.
    scratch: TempDir,
    stop: CancellationToken,
}

/// A cache written anew, in its scratch directory.
struct Taken {
    scratch: TempDir,
    facts: CacheFacts,
    record: Option<Manifest>,
    /// Of the image, which nothing else reads here.
    content: ContentDigest,
}

impl Adoption {
    fn run(self) -> Result<Taken, CaptureError> {
        let cache = CacheFile::open(&self.file).map_err(|source| self.unreadable(source))?;
        let layout = self.layout(&cache)?;
        let path = self.scratch.path().join(CACHE_FILE);
        cache::write_file(&layout, |buffer, offset| self.read(&cache, buffer, offset), &path)
            .map_err(|source| CaptureError::Write { path, source })?;
        let facts = cache::facts(&layout);
        let record = record_of(&self.file, &CacheFacts { bytes: self.bytes, ..facts.clone() });
        let content = self.content()?;
        Ok(Taken { scratch: self.scratch, facts, record, content })
    }

    fn content(&self) -> Result<ContentDigest, CaptureError> {
        let path = &self.image.path;
        let read = File::open(path).and_then(|file| ContentDigest::of(&file, || self.go_on()));
        read.map_err(|source| CaptureError::Scan { path: path.clone(), source })
    }

    fn layout(&self, cache: &CacheFile) -> Result<Layout, CaptureError> {
        let map = cache.allocation_map(|| self.go_on()).map_err(|source| self.unreadable(source))?;
        if map.compressed {
            return Err(self.unfit(Unfit::Compressed));
        }
        if map.data.is_empty() {
            return Err(self.unfit(Unfit::Empty));
        }
        let Source { path, format, virtual_size_bytes, .. } = &self.image;
        Ok(Layout::new(*virtual_size_bytes, map.data, map.zeros, path, *format)?)
    }

    fn read(&self, cache: &CacheFile, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.go_on()?;
        cache.read(buffer, offset).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot read {}: {error}", self.file.display()))
        })
    }

    fn go_on(&self) -> io::Result<()> {
        if self.stop.is_cancelled() { Err(io::Error::other("nobody waits for it any more")) } else { Ok(()) }
    }

    fn unreadable(&self, source: io::Error) -> CaptureError {
        CaptureError::Scan { path: self.file.clone(), source }
    }

    fn unfit(&self, why: Unfit) -> CaptureError {
        InspectCacheError::Unfit { path: self.file.clone(), base: self.image.path.clone(), why }.into()
    }
}

/// The manifest beside `file`, where there is one of a cache with these facts. It only says how far to
/// trust the cache, so that one we cannot read is as good as none.
fn record_of(file: &Path, facts: &CacheFacts) -> Option<Manifest> {
    let path = file.with_file_name(MANIFEST_FILE);
    // Opening a pipe would wait for whoever writes to it.
    std::fs::metadata(&path).ok().filter(std::fs::Metadata::is_file)?;
    let mut bytes = Vec::new();
    File::open(&path).ok()?.take(MANIFEST_MAX_BYTES).read_to_end(&mut bytes).ok()?;
    let manifest: Manifest = serde_json::from_slice(&bytes).ok()?;
    (manifest.version == Manifest::VERSION && manifest.cache == *facts).then_some(manifest)
}

fn accelerator(word: &str) -> Option<Accelerator> {
    [Accelerator::Kvm, Accelerator::Tcg].into_iter().find(|known| known.as_str() == word)
}
