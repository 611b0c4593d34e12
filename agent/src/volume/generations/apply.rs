//! Applying a delta: only to the snapshot it was made from, and only with the result announced.

use super::Generations;
use super::receive::{Kind, Receiving};
use crate::volume::Stopping;
use bootstash_base::error::{Classified, ErrorClass};
use bootstash_base::kill_point::{KillPoint, kill_point};
use bootstash_base::names::{DatasetName, Guid, NameError};
use bootstash_delta::{DeltaReadError, DeltaRecord};
use bootstash_zfs::{
    ByteStream, DestroyError, ReadError, Receive, ReceiveError, Received, Removed, Snapshot,
};
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// A delta was not applied. But for [`ApplyError::WrongResult`], the volume is as it was.
#[derive(Debug, Error, Classified)]
pub enum ApplyError {
    /// The delta's file cannot be read.
    #[error("cannot read delta {file}")]
    #[class(source)]
    Delta {
        /// Its name at the registrar.
        file: String,
        /// The error that caused it.
        source: DeltaReadError,
    },
    /// Its header speaks of other snapshots than the registrar's log.
    #[error("delta {file} is not the one announced: it leads to snapshot GUID {got}, not to {wanted}")]
    #[class(permanent)]
    WrongHeader {
        /// Its name at the registrar.
        file: String,
        /// What was announced.
        wanted: Guid,
        /// What its header says.
        got: Guid,
    },
    /// It starts from another snapshot than the newest here.
    #[error("delta {file} does not start from this node's newest snapshot")]
    #[class(permanent)]
    WrongBase {
        /// Its name at the registrar.
        file: String,
    },
    /// ZFS.
    #[error(transparent)]
    #[class(with = of_receive)]
    Receive(#[from] ReceiveError),
    /// It was received, and something else came of it than was announced.
    #[error(
        "delta {file} made snapshot GUID {got}, not {wanted} as announced; this volume is not to be trusted: \
         destroy it (zfs destroy -r) and let the agent fetch it anew"
    )]
    #[class(operator)]
    WrongResult {
        /// Its name at the registrar.
        file: String,
        /// What was announced.
        wanted: Guid,
        /// What came.
        got: Guid,
    },
    /// The state of ZFS.
    #[error(transparent)]
    #[class(source)]
    Read(#[from] ReadError),
    /// The configured names are too long.
    #[error(transparent)]
    #[class(operator)]
    Name(#[from] NameError),
    /// A note cannot be written.
    #[error("cannot write a note to {}", .path.display())]
    #[class(operator)]
    Note {
        /// Its directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// What came wrong does not go away.
    #[error(transparent)]
    #[class(source)]
    Destroy(#[from] DestroyError),
    /// The agent stops.
    #[error(transparent)]
    #[class(cancelled)]
    Stopping(#[from] Stopping),
}

/// The file was whole, so the same file will end early again.
fn of_receive(error: &ApplyError) -> ErrorClass {
    match error {
        ApplyError::Receive(error) if !matches!(error, ReceiveError::Truncated { .. }) => error.kind(),
        _ => ErrorClass::Permanent,
    }
}

impl ApplyError {
    /// Whether another copy of the file may do better.
    pub fn blames_the_file(&self) -> bool {
        match self {
            Self::Delta { source, .. } => source.kind() == ErrorClass::Permanent,
            Self::WrongHeader { .. } => true,
            Self::Receive(error) => {
                matches!(error, ReceiveError::Corrupt { .. } | ReceiveError::Truncated { .. })
            }
            _ => false,
        }
    }
}

impl Generations {
    /// Makes ready for the verified file of a delta the volume whose newest snapshot is the one it starts `from`.
    pub(in crate::volume) async fn begin_apply(
        &mut self,
        record: DeltaRecord,
        from: Guid,
        file: &Path,
    ) -> Result<Receiving, ApplyError> {
        let volume = self.volume_at(from).await?;
        let volume = volume.ok_or_else(|| ApplyError::WrongBase { file: record.file.clone() })?;
        self.clear_partial(&volume).await?;
        let stream = open_delta(&record, file).await?;
        kill_point(KillPoint::ApplyBegun);
        Ok(self.begin(volume, stream, Receive::NonResumable, Kind::Delta { record, from }))
    }

    /// Takes note of what came of one.
    pub(super) async fn end_apply(
        &mut self,
        volume: &DatasetName,
        received: Result<Received, ApplyError>,
        record: &DeltaRecord,
        from: Guid,
    ) -> Result<Snapshot, ApplyError> {
        kill_point(KillPoint::ApplyReceived);
        let to = match received {
            Ok(received) => received.to,
            Err(error) => return Err(self.not_received(record, from, error).await?),
        };
        self.note_received(volume, &to);
        if to.guid != record.to {
            let file = record.file.clone();
            return Err(ApplyError::WrongResult { file, wanted: record.to, got: to.guid });
        }
        Ok(to)
    }

    /// The volume whose newest snapshot this is. ZFS is not asked where it is what is known: it would list all
    /// snapshots, and refuses by itself what does not fit.
    async fn volume_at(&mut self, head: Guid) -> Result<Option<DatasetName>, ReadError> {
        if self.head().is_none_or(|known| known.guid != head) {
            self.refresh().await?;
        }
        let current = self.current().filter(|_| self.head().is_some_and(|known| known.guid == head));
        Ok(current.map(|current| current.dataset.clone()))
    }

    /// What is published must be what is there; a volume that somebody else has changed is told as such.
    async fn not_received(
        &mut self,
        record: &DeltaRecord,
        from: Guid,
        error: ApplyError,
    ) -> Result<ApplyError, ReadError> {
        self.refresh().await?;
        let changed = self.head().is_none_or(|head| head.guid != from);
        Ok(match error {
            ApplyError::Receive(ReceiveError::WrongBase { .. }) if changed => {
                ApplyError::WrongBase { file: record.file.clone() }
            }
            error => error,
        })
    }

    /// Somebody else's, as deltas are received whole or not at all.
    async fn clear_partial(&self, volume: &DatasetName) -> Result<(), ApplyError> {
        if self.zfs.drop_partial(volume).await? == Removed::Removed {
            tracing::info!("gave up what a cut receive had left in {volume}");
        }
        Ok(())
    }
}

/// The stream in a delta's file, if it leads from and to what was announced.
pub(in crate::volume) async fn open_delta(
    record: &DeltaRecord,
    file: &Path,
) -> Result<ByteStream, ApplyError> {
    let (header, stream) = bootstash_delta::open(file)
        .await
        .map_err(|source| ApplyError::Delta { file: record.file.clone(), source })?;
    let from = header.from.as_ref().map(|from| from.guid);
    if header.to.guid != record.to || from != record.from {
        let file = record.file.clone();
        return Err(ApplyError::WrongHeader { file, wanted: record.to, got: header.to.guid });
    }
    Ok(stream)
}
