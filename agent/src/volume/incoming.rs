//! A full stream straight from the registrar, where this node's ZFS can go on after a cut.

use super::abortable::Abortable;
use super::{ApplyError, Stopping, Volume};
use bootstash::names::Guid;
use bootstash::zfs::{ByteStream, Receive, ReceiveError, Removed, Snapshot};
use std::fmt;

/// What a failure calls it, which has no file.
const NAME: &str = "of the whole volume";

/// A stream under way.
pub struct Incoming {
    /// The snapshot it leads to, as the registrar announced it.
    pub to: Guid,
    /// Whether it is the rest of one that was cut.
    pub how: Receive,
    /// Its bytes.
    pub stream: ByteStream,
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("to", &self.to).field("how", &self.how).finish_non_exhaustive()
    }
}

impl Volume {
    /// Receives it into a volume that is not there yet. Cut, what came stays to go on with.
    pub(super) async fn receive_full(&mut self, incoming: Incoming) -> Result<Snapshot, ApplyError> {
        self.read_snapshots().await?;
        let file = || NAME.to_owned();
        if self.head().is_some() {
            return Err(ApplyError::WrongBase { file: file() });
        }
        let stream = Box::pin(Abortable::new(incoming.stream, self.cancel.clone()));
        let received = self.zfs.receive_as(&self.layout.volume, stream, incoming.how).await;
        // Also after an error: what is published must be what is there.
        self.read_snapshots().await?;
        let to = match received {
            Err(ReceiveError::Source { .. }) if self.cancel.is_cancelled() => return Err(Stopping.into()),
            received => received?.to,
        };
        match to.guid == incoming.to {
            true => Ok(to),
            false => Err(ApplyError::WrongResult { file: file(), wanted: incoming.to, got: to.guid }),
        }
    }

    /// Gives up what a cut receive left, which nothing can be made of any more.
    pub(super) async fn drop_partial(&mut self) -> Result<Removed, ApplyError> {
        let removed = self.zfs.drop_partial(&self.layout.volume).await;
        self.read_snapshots().await?;
        Ok(removed?)
    }
}
