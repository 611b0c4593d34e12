//! The deltas that were applied here last, kept for others.
//!
//! Promises: no more bytes than configured, the oldest go first; a file under a digest is the one that
//! was verified, also after a crash.

use bootstash_delta::DeltaRecord;
use bootstash_net::api::MAX_ADVERTISED;
use parking_lot::Mutex;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// Deltas on disk, by digest. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PeerCache {
    dir: PathBuf,
    keep_bytes: u64,
    kept: Arc<Mutex<Vec<Kept>>>,
}

/// One delta; the last of them is the newest.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kept {
    digest: String,
    bytes: u64,
}

impl PeerCache {
    /// What lies in `dir`, which is made where it is missing; what is no delta of its name goes.
    ///
    /// # Errors
    /// When the directory cannot be used.
    pub async fn open(dir: PathBuf, keep_bytes: u64) -> io::Result<Self> {
        std::fs::create_dir_all(&dir)?;
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&dir)? {
            let path = entry?.path();
            match identify(&path).await {
                Some((kept, modified)) => found.push((modified, kept)),
                None => remove(&path),
            }
        }
        found.sort_by_key(|(modified, _)| *modified);
        let kept = found.into_iter().map(|(_, kept)| kept).collect();
        let cache = Self { dir, keep_bytes, kept: Arc::new(Mutex::new(kept)) };
        cache.make_room(0);
        Ok(cache)
    }

    /// Takes the verified file of a delta, moving it; one too large to keep stays where it is.
    ///
    /// # Errors
    /// When it cannot be moved.
    pub async fn keep(&self, file: &Path, record: &DeltaRecord) -> io::Result<()> {
        if record.bytes > self.keep_bytes {
            return Ok(());
        }
        // On disk before it has the name that vouches for it.
        tokio::fs::File::open(file).await?.sync_data().await?;
        self.make_room(record.bytes);
        tokio::fs::rename(file, self.dir.join(&record.digest)).await?;
        let mut kept = self.kept.lock();
        kept.retain(|kept| kept.digest != record.digest);
        kept.push(Kept { digest: record.digest.clone(), bytes: record.bytes });
        Ok(())
    }

    /// The file of a delta that is kept.
    pub fn path(&self, digest: &str) -> Option<PathBuf> {
        self.kept.lock().iter().any(|kept| kept.digest == digest).then(|| self.dir.join(digest))
    }

    /// The digests of what is kept, newest first, as many as are told.
    pub fn holds(&self) -> Vec<String> {
        self.kept.lock().iter().rev().take(MAX_ADVERTISED).map(|kept| kept.digest.clone()).collect()
    }

    /// Bytes of what is kept.
    pub fn bytes(&self) -> u64 {
        self.kept.lock().iter().map(|kept| kept.bytes).sum()
    }

    /// Removes the oldest until this number of bytes more fits. Who reads one of them reads on.
    fn make_room(&self, bytes: u64) {
        let mut kept = self.kept.lock();
        let mut sum: u64 = kept.iter().map(|kept| kept.bytes).sum();
        while sum + bytes > self.keep_bytes && !kept.is_empty() {
            let oldest = kept.remove(0);
            sum -= oldest.bytes;
            remove(&self.dir.join(oldest.digest));
        }
    }
}

/// What a file is by its name, if its header and size say the same.
async fn identify(path: &Path) -> Option<(Kept, SystemTime)> {
    let name = path.file_name()?.to_str()?.to_owned();
    let header = bootstash_delta::read_header(path).await.ok()?;
    let digest = blake3::hash(&header.encode().ok()?).to_hex();
    let metadata = std::fs::metadata(path).ok()?;
    let bytes = bootstash_delta::HEADER_BYTES as u64 + header.payload_bytes;
    let same = digest.as_str() == name && metadata.len() == bytes;
    Some((Kept { digest: name, bytes }, metadata.modified().ok()?)).filter(|_| same)
}

/// What stays is found at the next start.
fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::debug!("cannot remove {}: {error}", path.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bootstash_base::names::{Guid, SnapshotName};
    use bootstash_delta::SnapshotId;

    async fn delta(dir: &Path, number: u64) -> (PathBuf, DeltaRecord) {
        let mut noise = vec![0; 10_000];
        blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut noise);
        let name = SnapshotName::new(number, chrono::DateTime::UNIX_EPOCH);
        let to = SnapshotId { name, guid: Guid::new(number) };
        let record = bootstash_delta::write(dir, None, to, Box::pin(io::Cursor::new(noise))).await.unwrap();
        (dir.join(&record.file), record)
    }

    #[tokio::test]
    async fn keeps_the_newest_that_fit_also_over_a_restart() {
        let (work, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let open = async |bytes| PeerCache::open(dir.path().to_owned(), bytes).await.unwrap();
        let cache = open(40_000).await;
        let mut digests = Vec::new();
        for number in 1..=4 {
            let (file, record) = delta(work.path(), number).await;
            cache.keep(&file, &record).await.unwrap();
            digests.insert(0, record.digest);
        }
        assert_eq!(cache.holds(), digests[..2], "two of 14 kB fit into 40 kB, and not a third");
        assert!(cache.path(&digests[3]).is_none() && cache.path("../work").is_none());
        assert_eq!(open(40_000).await.holds(), digests[..2]);
        assert_eq!(open(20_000).await.holds(), digests[..1]);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(std::fs::read_dir(work.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn what_is_too_large_stays_where_it_is() {
        let (work, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let cache = PeerCache::open(dir.path().to_owned(), 1000).await.unwrap();
        let (file, record) = delta(work.path(), 1).await;
        cache.keep(&file, &record).await.unwrap();
        assert!(file.exists() && cache.holds().is_empty() && cache.bytes() == 0);
    }

    #[tokio::test]
    async fn what_is_not_what_its_name_says_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let (file, record) = delta(dir.path(), 1).await;
        std::fs::write(dir.path().join("ab".repeat(32)), std::fs::read(&file).unwrap()).unwrap();
        let short = std::fs::read(&file).unwrap();
        std::fs::write(dir.path().join(&record.digest), &short[..short.len() - 1]).unwrap();
        assert!(PeerCache::open(dir.path().to_owned(), 1 << 20).await.unwrap().holds().is_empty());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
