//! Applying a delta: only to the snapshot it was made from, and only with the result announced.

use super::abortable::Abortable;
use super::{ApplyError, Stopping, Volume};
use bootstash::api::DeltaRecord;
use bootstash::delta;
use bootstash::zfs::{ByteStream, ReceiveError, Received, Snapshot};
use std::path::Path;

impl Volume {
    /// Applies the verified file of a delta.
    pub(super) async fn apply(&mut self, record: &DeltaRecord, file: &Path) -> Result<Snapshot, ApplyError> {
        self.read_snapshots().await?;
        if self.head().map(|head| head.guid) != record.from {
            return Err(ApplyError::WrongBase { file: record.file.clone() });
        }
        if self.partial.is_some() {
            tracing::info!("giving up what a cut receive left, for delta {}", record.file);
            self.drop_partial().await?;
        }
        let stream = open(record, file).await?;
        let received = self.receive(stream).await;
        // Also after an error: what is published must be what is there.
        self.read_snapshots().await?;
        let to = received?.to;
        if to.guid != record.to {
            let file = record.file.clone();
            return Err(ApplyError::WrongResult { file, wanted: record.to, got: to.guid });
        }
        Ok(to)
    }

    /// Ends soon when the agent stops: ZFS drops what it received of the stream.
    async fn receive(&self, stream: ByteStream) -> Result<Received, ApplyError> {
        let stream = Abortable::new(stream, self.cancel.clone());
        match self.zfs.receive(&self.layout.volume, Box::pin(stream)).await {
            Err(ReceiveError::Source { .. }) if self.cancel.is_cancelled() => Err(Stopping.into()),
            received => Ok(received?),
        }
    }
}

async fn open(record: &DeltaRecord, file: &Path) -> Result<ByteStream, ApplyError> {
    let (header, stream) =
        delta::open(file).await.map_err(|source| ApplyError::Delta { file: record.file.clone(), source })?;
    let from = header.from.as_ref().map(|from| from.guid);
    if header.to.guid != record.to || from != record.from {
        let file = record.file.clone();
        return Err(ApplyError::WrongHeader { file, wanted: record.to, got: header.to.guid });
    }
    Ok(stream)
}
