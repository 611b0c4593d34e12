//! Applying a delta: only to the snapshot it was made from, and only with the result announced.

use super::{ApplyError, Incoming, Volume};
use bootstash_base::kill_point::{KillPoint, kill_point};
use bootstash_base::names::DatasetName;
use bootstash_delta::DeltaRecord;
use bootstash_zfs::{ByteStream, Receive, Removed, Snapshot};
use std::path::Path;

impl Volume {
    /// Applies the verified file of a delta; that of a full stream becomes a volume of its own.
    pub(super) async fn apply(&mut self, record: &DeltaRecord, file: &Path) -> Result<Snapshot, ApplyError> {
        self.read_volumes().await?;
        let Some(from) = record.from else {
            let stream = open(record, file).await?;
            return self.receive_full(Incoming { to: record.to, how: Receive::NonResumable, stream }).await;
        };
        let volume = match self.generations.current() {
            Some(current) if self.head().is_some_and(|head| head.guid == from) => current.dataset.clone(),
            _ => return Err(ApplyError::WrongBase { file: record.file.clone() }),
        };
        self.clear_partial(&volume).await?;
        let stream = open(record, file).await?;
        kill_point(KillPoint::ApplyBegun);
        let received = self.receive_as(&volume, stream, Receive::NonResumable).await;
        kill_point(KillPoint::ApplyReceived);
        // Also after an error: what is published must be what is there.
        self.read_volumes().await?;
        let to = received?.to;
        if to.guid != record.to {
            let file = record.file.clone();
            return Err(ApplyError::WrongResult { file, wanted: record.to, got: to.guid });
        }
        Ok(to)
    }

    /// Somebody else's, as deltas are received whole or not at all.
    async fn clear_partial(&self, volume: &DatasetName) -> Result<(), ApplyError> {
        if self.zfs.drop_partial(volume).await? == Removed::Removed {
            tracing::info!("gave up what a cut receive had left in {volume}");
        }
        Ok(())
    }
}

async fn open(record: &DeltaRecord, file: &Path) -> Result<ByteStream, ApplyError> {
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
