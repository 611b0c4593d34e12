//! What is published: the snapshots and the deltas between them, for whoever asks or waits.

use super::collected_guids;
use bootstash_base::names::{Guid, SnapshotName};
use bootstash_delta::{DeltaReadError, HEADER_BYTES, Header};
use bootstash_delta::{DeltaRecord, VolumeLog};
use bootstash_zfs::Snapshot;
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::watch;

/// The published log. Written by the volume's task, read by everybody; cheap to clone.
#[derive(Clone, Debug)]
pub struct PublicationLog {
    dir: PathBuf,
    log: Arc<watch::Sender<VolumeLog>>,
    full: Arc<watch::Sender<FullStream>>,
    /// The files that are being verified or made anew.
    mending: Arc<Mutex<BTreeSet<String>>>,
}

/// What is wrong with the file of a delta.
#[derive(Debug, thiserror::Error)]
pub enum DeltaProblem {
    /// It is gone, or no delta.
    #[error(transparent)]
    Unreadable(DeltaReadError),
    /// It is not the one that was announced.
    #[error("its length or its header is not what was announced")]
    Other,
}

/// What is known of the full stream of the newest snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FullStream {
    /// Nobody asked, or a newer snapshot came.
    #[default]
    Absent,
    /// It is being made.
    Making,
    /// It is there.
    Ready(DeltaRecord),
    /// It could not be made, and why; who asks is told once, then it is tried again.
    Failed(String),
}

impl PublicationLog {
    /// A log of deltas that lie in `dir`, empty until the task fills it.
    pub fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            log: Arc::new(watch::Sender::default()),
            full: Arc::new(watch::Sender::default()),
            mending: Arc::default(),
        }
    }

    /// As it is now.
    pub fn now(&self) -> VolumeLog {
        self.log.borrow().clone()
    }

    /// The newest snapshot.
    pub fn head(&self) -> Option<Snapshot> {
        self.log.borrow().snapshots.last().cloned()
    }

    /// To wait for changes.
    pub fn subscribe(&self) -> watch::Receiver<VolumeLog> {
        self.log.subscribe()
    }

    /// The full stream of the newest snapshot.
    pub fn full(&self) -> FullStream {
        self.full.borrow().clone()
    }

    /// Notes that somebody makes the full stream; false where it is being made or there.
    pub fn begin_full(&self) -> bool {
        self.full.send_if_modified(|full| {
            let begins = *full == FullStream::Absent;
            if begins {
                *full = FullStream::Making;
            }
            begins
        })
    }

    /// A delta that is published and its file, by its name.
    pub fn delta(&self, file: &str) -> Option<(DeltaRecord, PathBuf)> {
        let listed = self.log.borrow().deltas.iter().find(|record| record.file == file).cloned();
        let full = || match &*self.full.borrow() {
            FullStream::Ready(record) if record.file == file => Some(record.clone()),
            _ => None,
        };
        Some((listed.or_else(full)?, self.dir.join(file)))
    }

    /// The first delta of which something is so.
    pub(super) fn find(&self, so: impl Fn(&DeltaRecord) -> bool) -> Option<DeltaRecord> {
        self.log.borrow().deltas.iter().find(|record| so(record)).cloned()
    }

    /// The snapshot before the one of this name.
    pub(super) fn before(&self, name: &SnapshotName) -> Option<Guid> {
        let log = self.log.borrow();
        let at = log.snapshots.iter().position(|snapshot| snapshot.name == *name)?;
        Some(log.snapshots.get(at.checked_sub(1)?)?.guid)
    }

    /// Why the file of a published delta cannot be sent; none where it is there, of its length, and begins as
    /// announced. What follows is verified by whoever fetches it.
    pub async fn problem_of(&self, record: &DeltaRecord) -> Option<DeltaProblem> {
        match self.looked_at(record).await {
            Ok(found) if found == *record => None,
            Ok(_) => Some(DeltaProblem::Other),
            Err(error) => Some(DeltaProblem::Unreadable(error)),
        }
    }

    async fn looked_at(&self, of: &DeltaRecord) -> Result<DeltaRecord, DeltaReadError> {
        let path = self.dir.join(&of.file);
        let header = bootstash_delta::read_header(&path).await?;
        let metadata = tokio::fs::metadata(&path).await;
        let bytes = metadata.map_err(|source| DeltaReadError::Io { path: path.clone(), source })?.len();
        Ok(DeltaRecord { file: of.file.clone(), bytes, ..record(&header, &path)? })
    }

    /// As [`Self::problem_of`], of every byte. Reads the whole file.
    pub async fn problem_within(&self, record: &DeltaRecord) -> Option<DeltaProblem> {
        let verified = bootstash_delta::verify(&self.dir.join(&record.file), record).await;
        verified.err().map(DeltaProblem::Unreadable)
    }

    /// Notes that somebody has a delta's file looked after; false where somebody does.
    pub fn begin_mending(&self, file: &str) -> bool {
        self.mending.lock().insert(file.to_owned())
    }

    /// The other way.
    pub fn end_mending(&self, file: &str) {
        self.mending.lock().remove(file);
    }

    /// Announces no full stream any more whose file is `file`.
    pub(super) fn drop_full(&self, file: &str) {
        self.full.send_if_modified(|full| {
            let is_it = matches!(full, FullStream::Ready(record) if record.file == file);
            if is_it {
                *full = FullStream::Absent;
            }
            is_it
        });
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn replace(&self, snapshots: Vec<Snapshot>, deltas: Vec<DeltaRecord>) {
        let collected = self.log.borrow().collected.clone();
        let new = VolumeLog { snapshots, deltas, collected };
        let same_head = self.head().map(|head| head.guid) == new.snapshots.last().map(|head| head.guid);
        if !same_head {
            self.full.send_replace(FullStream::Absent);
        }
        self.log.send_replace(new);
    }

    /// Beside the directory of the deltas, which holds nothing else.
    fn collected_file(&self) -> PathBuf {
        self.dir.with_file_name("collected.json")
    }

    /// Brings in what was noted of snapshots that were collected.
    pub(super) fn read_collected(&self) -> std::io::Result<()> {
        let collected = collected_guids::load(&self.collected_file())?;
        self.log.send_modify(|log| log.collected = collected);
        Ok(())
    }

    /// Notes snapshots that are about to be collected.
    pub(super) async fn note_collected(&self, guids: Vec<Guid>) -> std::io::Result<()> {
        let (file, before) = (self.collected_file(), self.log.borrow().collected.clone());
        let noting = tokio::task::spawn_blocking(move || collected_guids::note(&file, before, &guids));
        let collected = noting.await.map_err(std::io::Error::other)??;
        self.log.send_modify(|log| log.collected = collected);
        Ok(())
    }

    /// Notes what came of making the full stream.
    pub fn finish_full(&self, made: Result<DeltaRecord, String>) {
        self.full.send_replace(made.map_or_else(FullStream::Failed, FullStream::Ready));
    }

    /// Why the last try at the full stream failed; the next to ask makes it anew.
    pub fn take_failure(&self) -> Option<String> {
        let mut why = None;
        self.full.send_if_modified(|full| {
            if let FullStream::Failed(error) = full {
                why = Some(std::mem::take(error));
                *full = FullStream::Absent;
            }
            why.is_some()
        });
        why
    }
}

/// The deltas that lie in `dir`. What is none, or no longer whole in size, is passed over.
pub(super) async fn scan(dir: &Path) -> std::io::Result<Vec<DeltaRecord>> {
    let mut records = Vec::new();
    let mut entries = tokio::fs::read_dir(dir).await?;
    while let Some(entry) = entries.next_entry().await? {
        let Some(file) = entry.file_name().to_str().map(str::to_owned) else { continue };
        if file.starts_with('.') || !file.ends_with(bootstash_delta::EXTENSION) {
            continue;
        }
        match bootstash_delta::read_header(&entry.path())
            .await
            .and_then(|header| record(&header, &entry.path()))
        {
            Ok(found) if found.bytes == entry.metadata().await?.len() => records.push(found),
            Ok(_) => tracing::warn!(file, "a delta is shorter than it says; it is made again"),
            Err(error) => tracing::warn!(file, error = %bootstash_base::error::Chain(&error), "no delta"),
        }
    }
    records.sort_by(|a, b| (&a.to_name, a.from).cmp(&(&b.to_name, b.from)));
    Ok(records)
}

/// Files that a crash left unfinished in `dir`.
pub(super) async fn unfinished(dir: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    let mut entries = tokio::fs::read_dir(dir).await?;
    while let Some(entry) = entries.next_entry().await? {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') && name.ends_with(".part") {
            names.push(name);
        }
    }
    Ok(names)
}

fn record(header: &Header, path: &Path) -> Result<DeltaRecord, DeltaReadError> {
    let block =
        header.encode().map_err(|problem| DeltaReadError::Header { path: path.to_owned(), problem })?;
    Ok(DeltaRecord {
        file: bootstash_delta::file_name(header.from.as_ref().map(|id| id.guid), header.to.guid),
        from: header.from.as_ref().map(|id| id.guid),
        to: header.to.guid,
        to_name: header.to.name.clone(),
        bytes: HEADER_BYTES as u64 + header.payload_bytes,
        digest: blake3::hash(&block).to_hex().to_string(),
    })
}

/// Whether both ends of a delta are among the snapshots (a full stream has one end).
pub(super) fn has_both_ends(record: &DeltaRecord, snapshots: &HashSet<Guid>) -> bool {
    snapshots.contains(&record.to) && record.from.is_none_or(|from| snapshots.contains(&from))
}
