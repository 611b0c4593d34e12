//! A whole volume: received beside the one that is there, if one is, and only whole in its place.

use super::abortable::Abortable;
use super::{ApplyError, Generations};
use crate::volume::Stopping;
use bootstash_base::kill_point::{KillPoint, kill_point};
use bootstash_base::names::{DatasetName, Guid};
use bootstash_zfs::{ByteStream, Receive, ReceiveError, Received, Removed, Snapshot};
use std::fmt;

/// What a failure calls it, which has no file.
const FULL_STREAM: &str = "of the whole volume";

/// A stream under way.
pub struct Incoming {
    /// The snapshot it leads to, as the registrar announced it.
    pub to: Guid,
    /// Whether it is the rest of one that was cut.
    pub how: Receive,
    /// The stream, as `zfs receive` reads it.
    pub stream: ByteStream,
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("to", &self.to).field("how", &self.how).finish_non_exhaustive()
    }
}

impl Generations {
    /// Receives it. What was there before stays until [`Self::drop_replaced`].
    pub(in crate::volume) async fn receive_full(
        &mut self,
        incoming: Incoming,
    ) -> Result<Snapshot, ApplyError> {
        self.refresh().await?;
        let into = self.incoming()?;
        if incoming.how != Receive::Resume {
            self.clear_partially_received().await?;
        }
        let received = self.receive_as(&into, incoming.stream, incoming.how).await;
        kill_point(KillPoint::ResyncReceived);
        // Also after an error: what is published must be what is there.
        self.refresh().await?;
        let to = received?.to;
        if to.guid != incoming.to {
            // Nothing stands on it yet, and it must not be taken for the node's volume.
            self.zfs.destroy(&into).await?;
            self.refresh().await?;
            let file = FULL_STREAM.to_owned();
            return Err(ApplyError::WrongResult { file, wanted: incoming.to, got: to.guid });
        }
        Ok(to)
    }

    /// A receive that was killed can leave its file system, empty, which the next cannot be received into.
    /// What a resumable one has left is not given up here.
    async fn clear_partially_received(&mut self) -> Result<(), ApplyError> {
        if let Some(begun) = self.partially_received().filter(|_| self.partial.is_none()) {
            let left = begun.dataset.clone();
            self.zfs.destroy(&left).await?;
            tracing::info!("removed {left}, which a receive that was killed had left empty");
            self.refresh().await?;
        }
        Ok(())
    }

    /// Ends soon when the agent stops: ZFS then ends the receive in order.
    pub(super) async fn receive_as(
        &self,
        into: &DatasetName,
        stream: ByteStream,
        how: Receive,
    ) -> Result<Received, ApplyError> {
        let stream = Box::pin(Abortable::new(stream, self.cancel.clone()));
        match self.zfs.receive_as(into, stream, how).await {
            Err(ReceiveError::Source { .. }) if self.cancel.is_cancelled() => Err(Stopping.into()),
            received => Ok(received?),
        }
    }

    /// Gives up what a cut receive left, which nothing can be made of any more.
    pub(in crate::volume) async fn drop_partial(&mut self) -> Result<Removed, ApplyError> {
        let removed = self.zfs.drop_partial(&self.incoming()?).await;
        self.refresh().await?;
        Ok(removed?)
    }
}
