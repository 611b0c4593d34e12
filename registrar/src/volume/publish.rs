//! Publish: each snapshot's delta from the one before, as a file, announced in the log.

use super::log::{self, PublicationLog};
use super::{FullStream, VolumeError};
use bootstash_base::error::Chain;
use bootstash_base::kill_point::{KillPoint, kill_point};
use bootstash_base::names::{DatasetName, Guid, SnapshotName};
use bootstash_delta::DeltaRecord;
use bootstash_delta::SnapshotId;
use bootstash_delta::retention::SnapshotFate;
use bootstash_zfs::{Snapshot, Zfs};

/// Makes and announces deltas of one volume.
#[derive(Debug)]
pub(super) struct Publisher<'a> {
    pub(super) zfs: &'a dyn Zfs,
    pub(super) volume: &'a DatasetName,
    pub(super) log: &'a PublicationLog,
}

impl Publisher<'_> {
    /// Makes the deltas that are missing between the snapshots there are, and announces all. The
    /// first snapshot has none but what it was born with: a node that lacks it takes a full stream.
    ///
    /// # Errors
    /// Where a delta cannot be made: what leads up to it is announced all the same.
    pub(super) async fn publish_all(&self) -> Result<(), VolumeError> {
        let mut snapshots = self.zfs.snapshots(self.volume).await?;
        let mut deltas = self.scan().await?;
        deltas.retain(|record| log::has_both_ends(record, &snapshots));
        keep_newest_full(&mut deltas);
        let made = self.make_missing(&snapshots, &mut deltas).await;
        if let Err((announced, _)) = &made {
            snapshots.truncate(*announced);
        }
        deltas.retain(|record| log::has_both_ends(record, &snapshots));
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
        for (from, to) in steps(snapshots) {
            if !deltas.iter().any(|record| leads(record, from, to)) {
                let reached = snapshots.iter().take_while(|snapshot| snapshot.guid != to.guid).count();
                deltas.push(self.make(from, to).await.map_err(|error| (reached, error))?);
            }
        }
        Ok(())
    }

    /// The delta that leads to `name`, made and announced where it is not yet.
    pub(super) async fn publish(&self, name: &SnapshotName) -> Result<DeltaRecord, VolumeError> {
        self.publish_all().await?;
        let log = self.log.now();
        let found = log.deltas.into_iter().filter(|record| record.to_name == *name);
        // Of a full stream and a difference the difference says what the image costs.
        found
            .max_by_key(|record| record.from.is_some())
            .ok_or_else(|| VolumeError::NoDelta { snapshot: name.clone() })
    }

    /// The full stream of the newest snapshot.
    pub(super) async fn full(&self) -> Result<DeltaRecord, VolumeError> {
        if let FullStream::Ready(record) = self.log.full() {
            return Ok(record);
        }
        let head = self.log.head().ok_or(VolumeError::Empty)?;
        let there = self.log.now().deltas.into_iter().find(|record| leads(record, None, &head));
        match there {
            Some(record) => Ok(record),
            None => self.make(None, &head).await.inspect(|_| kill_point(KillPoint::FullMade)),
        }
    }

    /// Makes a published delta anew whose file is gone or damaged, as far as its snapshots are there, and announces
    /// what came of it.
    pub(super) async fn remake(&self, file: &str) -> Result<(), VolumeError> {
        match tokio::fs::remove_file(self.log.dir().join(file)).await {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(VolumeError::Io { path: self.log.dir().join(file), source });
            }
            _ => (),
        }
        self.log.drop_full(file);
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
    pub(super) async fn drop_unlisted(&self) -> Result<Vec<String>, VolumeError> {
        let mut dropped = Vec::new();
        for record in self.scan().await? {
            if self.log.delta(&record.file).is_none() {
                self.remove(&record.file).await?;
                dropped.push(record.file);
                kill_point(KillPoint::CollectDeltaRemoved);
            }
        }
        Ok(dropped)
    }

    async fn make(&self, from: Option<&Snapshot>, to: &Snapshot) -> Result<DeltaRecord, VolumeError> {
        let stream = self.zfs.send(self.volume, from.map(|snapshot| &snapshot.name), &to.name).await?;
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
