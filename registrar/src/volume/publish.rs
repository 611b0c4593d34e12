//! Publish: each snapshot's delta from the one before, as a file, announced in the log.

use super::log::{self, PublicationLog};
use super::{FullStream, VolumeError};
use bootstash_base::error::Chain;
use bootstash_base::kill_point::{KillPoint, kill_point};
use bootstash_base::names::{DatasetName, Guid, SnapshotName};
use bootstash_delta::DeltaRecord;
use bootstash_delta::SnapshotId;
use bootstash_delta::retention::SnapshotFate;
use bootstash_zfs::{DestroyError, Removed, Snapshot, Zfs};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::SystemTime;

/// Makes and announces the snapshots and deltas of one volume. What it knows of them it keeps: asking ZFS for all
/// snapshots, and reading all headers of deltas, takes the longer the more there are.
#[derive(Debug)]
pub(super) struct Publisher {
    zfs: Arc<dyn Zfs>,
    volume: DatasetName,
    pub(super) log: PublicationLog,
    known: Option<Inventory>,
}

/// What there is.
#[derive(Debug)]
struct Inventory {
    /// Oldest first.
    snapshots: Vec<Snapshot>,
    deltas: Vec<DeltaRecord>,
    /// When the directory of deltas was changed last; otherwise somebody else has changed it since.
    directory: Option<SystemTime>,
}

impl Publisher {
    pub(super) fn new(zfs: Arc<dyn Zfs>, volume: DatasetName, log: PublicationLog) -> Self {
        Self { zfs, volume, log, known: None }
    }

    /// What is there is to be asked for again: something failed, or somebody else may have changed it.
    pub(super) fn forget(&mut self) {
        self.known = None;
    }

    /// The snapshots, oldest first.
    pub(super) async fn snapshots(&mut self) -> Result<&[Snapshot], VolumeError> {
        let known = self.take_inventory().await?;
        Ok(&self.known.insert(known).snapshots)
    }

    /// The newest snapshot.
    pub(super) async fn newest(&mut self) -> Result<Option<Snapshot>, VolumeError> {
        Ok(self.snapshots().await?.last().cloned())
    }

    /// Takes a snapshot.
    pub(super) async fn take_snapshot(&mut self, name: &SnapshotName) -> Result<(), VolumeError> {
        match self.zfs.snapshot(&self.volume, name).await {
            Ok(taken) => {
                if let Some(known) = &mut self.known {
                    known.snapshots.push(taken);
                }
                Ok(())
            }
            Err(error) => {
                // It can be there all the same.
                self.forget();
                Err(error.into())
            }
        }
    }

    /// What there is, taken out: whoever is broken off leaves nothing, which is then asked for again.
    async fn take_inventory(&mut self) -> Result<Inventory, VolumeError> {
        let directory = self.directory_changed().await;
        match self.known.take() {
            Some(known) if known.directory == directory => Ok(known),
            // A file that is gone is made anew.
            Some(known) => Ok(Inventory { directory, deltas: self.scan().await?, ..known }),
            None => {
                let snapshots = self.zfs.snapshots(&self.volume).await?;
                Ok(Inventory { snapshots, directory, deltas: self.scan().await? })
            }
        }
    }

    /// Makes the deltas that are missing between the snapshots there are, and announces all. The
    /// first snapshot has none but what it was born with: a node that lacks it takes a full stream.
    ///
    /// # Errors
    /// Where a delta cannot be made: what leads up to it is announced all the same.
    pub(super) async fn publish_all(&mut self) -> Result<(), VolumeError> {
        self.publish_without(&HashSet::new()).await
    }

    /// The same, but for files of these names, which are not needed any more.
    pub(super) async fn publish_without(&mut self, files: &HashSet<String>) -> Result<(), VolumeError> {
        let Inventory { mut snapshots, mut deltas, .. } = self.take_inventory().await?;
        retain_with_both_ends(&mut deltas, &snapshots);
        keep_newest_full(&mut deltas);
        deltas.retain(|record| !files.contains(&record.file));
        let made = self.make_missing(&snapshots, &mut deltas).await;
        if made.is_ok() {
            let directory = self.directory_changed().await;
            self.known = Some(Inventory { snapshots: snapshots.clone(), deltas: deltas.clone(), directory });
        }
        if let Err((announced, _)) = &made {
            snapshots.truncate(*announced);
        }
        retain_with_both_ends(&mut deltas, &snapshots);
        deltas.sort_by(|a, b| (&a.to_name, a.from).cmp(&(&b.to_name, b.from)));
        self.log.replace(snapshots, deltas);
        kill_point(KillPoint::Announced);
        made.map_err(|(_, error)| error)
    }

    /// An error comes with how many snapshots can be reached without the delta that is missing.
    async fn make_missing(
        &self,
        snapshots: &[Snapshot],
        deltas: &mut Vec<DeltaRecord>,
    ) -> Result<(), (usize, VolumeError)> {
        let there: HashSet<_> = deltas.iter().map(|record| (record.from, record.to)).collect();
        for (from, to) in steps(snapshots) {
            if !there.contains(&(from.map(|snapshot| snapshot.guid), to.guid)) {
                let reached = snapshots.iter().take_while(|snapshot| snapshot.guid != to.guid).count();
                deltas.push(self.make(from, to).await.map_err(|error| (reached, error))?);
            }
        }
        Ok(())
    }

    /// The delta that leads to `name`, made and announced where it is not yet.
    pub(super) async fn publish(&mut self, name: &SnapshotName) -> Result<DeltaRecord, VolumeError> {
        self.publish_all().await?;
        let before = self.log.before(name);
        let found = self.log.find(|record| record.to_name == *name && record.from == before);
        // The one from the snapshot before says what the image costs; the first may have another.
        found
            .or_else(|| self.log.find(|record| record.to_name == *name))
            .ok_or_else(|| VolumeError::NoDelta { snapshot: name.clone() })
    }

    /// The full stream of the newest snapshot.
    pub(super) async fn full(&mut self) -> Result<DeltaRecord, VolumeError> {
        if let FullStream::Ready(record) = self.log.full() {
            return Ok(record);
        }
        let head = self.log.head().ok_or(VolumeError::Empty)?;
        if let Some(record) = self.log.find(|record| leads(record, None, &head)) {
            return Ok(record);
        }
        let record = self.make(None, &head).await?;
        kill_point(KillPoint::FullMade);
        // The next to announce anything finds the file.
        self.forget();
        Ok(record)
    }

    /// Destroys a snapshot.
    pub(super) async fn destroy_snapshot(&self, name: &SnapshotName) -> Result<Removed, DestroyError> {
        self.zfs.destroy_snapshot(&self.volume, name).await
    }

    /// Where ZFS has bookmarks, the newest snapshot to go leaves one: it costs nothing, and an increment
    /// can still be sent from it (`zfs send -i '#NAME'`). There is never more than one.
    pub(super) async fn bookmark_newest(&self, fates: &[SnapshotFate]) {
        let Some(newest) = fates.iter().rfind(|fate| !fate.keep) else { return };
        if let Err(error) = self.zfs.bookmark(&self.volume, &newest.name).await {
            tracing::warn!(snapshot = %newest.name, error = %Chain(&error), "no bookmark of it stays");
        }
    }

    /// Makes a published delta anew whose file is gone or damaged, as far as its snapshots are there, and announces
    /// what came of it.
    pub(super) async fn remake(&mut self, file: &str) -> Result<(), VolumeError> {
        match tokio::fs::remove_file(self.log.dir().join(file)).await {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(VolumeError::Io { path: self.log.dir().join(file), source });
            }
            _ => (),
        }
        self.log.drop_full(file);
        // What was known of the directory was so before the file was damaged.
        self.forget();
        self.publish_all().await
    }

    /// Notes which snapshots are about to go.
    pub(super) async fn note_collected(
        &self,
        all: &[Snapshot],
        fates: &[SnapshotFate],
    ) -> Result<(), VolumeError> {
        let goes = |snapshot: &&Snapshot| fates.iter().any(|fate| !fate.keep && fate.name == snapshot.name);
        let guids: Vec<Guid> = all.iter().filter(goes).map(|snapshot| snapshot.guid).collect();
        let path = self.log.dir().to_owned();
        self.log.note_collected(guids).await.map_err(|source| VolumeError::Io { path, source })
    }

    /// Removes the files of deltas that are no longer announced; returns their names.
    pub(super) async fn drop_unlisted(&mut self) -> Result<Vec<String>, VolumeError> {
        let mut dropped = Vec::new();
        for record in self.scan().await? {
            if self.log.delta(&record.file).is_none() {
                self.remove(&record.file).await?;
                dropped.push(record.file);
                kill_point(KillPoint::CollectDeltaRemoved);
            }
        }
        self.forget();
        Ok(dropped)
    }

    pub(super) async fn make(
        &self,
        from: Option<&Snapshot>,
        to: &Snapshot,
    ) -> Result<DeltaRecord, VolumeError> {
        let stream = self.zfs.send(&self.volume, from.map(|snapshot| &snapshot.name), &to.name).await?;
        let started = std::time::Instant::now();
        let record = bootstash_delta::write(self.log.dir(), from.map(id), id(to), stream).await?;
        let seconds = started.elapsed().as_secs_f64();
        tracing::info!(snapshot = %to.name, bytes = record.bytes, full = from.is_none(), seconds, "delta made");
        Ok(record)
    }

    /// Removes what a crash left of unfinished deltas. Nobody else writes there.
    pub(super) async fn sweep(&self) -> Result<(), VolumeError> {
        let dir = self.log.dir();
        let unfinished = log::unfinished(dir).await;
        for file in unfinished.map_err(|source| VolumeError::Io { path: dir.to_owned(), source })? {
            self.remove(&file).await?;
        }
        Ok(())
    }

    pub(super) async fn scan(&self) -> Result<Vec<DeltaRecord>, VolumeError> {
        let dir = self.log.dir();
        log::scan(dir).await.map_err(|source| VolumeError::Io { path: dir.to_owned(), source })
    }

    async fn directory_changed(&self) -> Option<SystemTime> {
        tokio::fs::metadata(self.log.dir()).await.and_then(|metadata| metadata.modified()).ok()
    }

    async fn remove(&self, file: &str) -> Result<(), VolumeError> {
        let path = self.log.dir().join(file);
        tokio::fs::remove_file(&path).await.map_err(|source| VolumeError::Io { path, source })
    }
}

/// Which deltas a row of snapshots wants: the first's from nothing while it is the only one ever
/// taken, then each from the one before.
fn steps(snapshots: &[Snapshot]) -> impl Iterator<Item = (Option<&Snapshot>, &Snapshot)> {
    let birth = snapshots.first().filter(|first| first.name.number() == 1 && snapshots.len() == 1);
    let differences = snapshots.iter().zip(snapshots.iter().skip(1));
    birth.map(|first| (None, first)).into_iter().chain(differences.map(|(from, to)| (Some(from), to)))
}

fn retain_with_both_ends(deltas: &mut Vec<DeltaRecord>, snapshots: &[Snapshot]) {
    let known: HashSet<Guid> = snapshots.iter().map(|snapshot| snapshot.guid).collect();
    deltas.retain(|record| log::has_both_ends(record, &known));
}

/// One full stream is enough for an empty node: differences lead on from it.
fn keep_newest_full(deltas: &mut Vec<DeltaRecord>) {
    let full = deltas.iter().filter(|record| record.from.is_none());
    let newest = full.map(|record| record.to_name.clone()).max();
    deltas.retain(|record| record.from.is_some() || Some(&record.to_name) == newest.as_ref());
}

fn leads(record: &DeltaRecord, from: Option<&Snapshot>, to: &Snapshot) -> bool {
    record.from == from.map(|snapshot| snapshot.guid) && record.to == to.guid
}

fn id(snapshot: &Snapshot) -> SnapshotId {
    SnapshotId { name: snapshot.name.clone(), guid: snapshot.guid }
}

/// Logs what stopped a delta that nobody waits for.
pub(super) fn log_failure(error: &VolumeError) {
    tracing::error!(error = %Chain(error), "cannot make a delta; it is tried again with the next change");
}
