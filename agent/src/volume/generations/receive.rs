//! Receiving: what is made ready before, the receive itself, and what is noted after it.
//!
//! Promises: the receive itself needs nothing of the volume's owner, who may make overlays meanwhile; a whole volume is
//! received beside the one that is there, if one is, and only whole takes its place.

use super::abortable::Abortable;
use super::{ApplyError, Generations};
use crate::volume::Stopping;
use crate::volume::zfs_turn::ZfsTurn;
use bootstash_base::kill_point::{KillPoint, kill_point};
use bootstash_base::names::{DatasetName, Guid};
use bootstash_delta::DeltaRecord;
use bootstash_zfs::{ByteStream, Receive, ReceiveError, Received, Removed, Snapshot, Zfs};
use std::fmt;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

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

/// What a stream is.
#[derive(Debug)]
pub(super) enum Kind {
    Delta { record: DeltaRecord, from: Guid },
    Whole { to: Guid },
}

/// A receive for which all is ready.
pub(in crate::volume) struct Receiving {
    zfs: Arc<dyn Zfs>,
    into: DatasetName,
    stream: ByteStream,
    how: Receive,
    kind: Kind,
    cancel: CancellationToken,
    turn: ZfsTurn,
}

/// One that ended, of which nothing is noted yet.
#[derive(Debug)]
pub(in crate::volume) struct Ended {
    into: DatasetName,
    kind: Kind,
    received: Result<Received, ApplyError>,
}

impl Ended {
    /// Whether it was to be a volume of its own.
    pub(in crate::volume) fn is_whole(&self) -> bool {
        matches!(self.kind, Kind::Whole { .. })
    }
}

impl Receiving {
    /// Receives. Ends soon when the agent stops: ZFS then ends it in order.
    pub(in crate::volume) async fn run(self) -> Ended {
        let Self { zfs, into, stream, how, kind, cancel, turn } = self;
        let _turn = turn.take().await;
        let stream = Box::pin(Abortable::new(stream, cancel.clone()));
        let received = match zfs.receive_as(&into, stream, how).await {
            Err(ReceiveError::Source { .. }) if cancel.is_cancelled() => Err(Stopping.into()),
            received => received.map_err(ApplyError::from),
        };
        Ended { into, kind, received }
    }
}

impl Generations {
    /// Until its end, ZFS is not asked what there is: it could be the half of something.
    pub(super) fn begin(
        &mut self,
        into: DatasetName,
        stream: ByteStream,
        how: Receive,
        kind: Kind,
    ) -> Receiving {
        self.receiving = true;
        let (zfs, cancel, turn) = (Arc::clone(&self.zfs), self.cancel.clone(), self.turn.clone());
        Receiving { zfs, into, stream, how, kind, cancel, turn }
    }

    /// Takes note of what came of a receive, and checks that it is what was announced.
    pub(in crate::volume) async fn end(&mut self, ended: Ended) -> Result<Snapshot, ApplyError> {
        self.receiving = false;
        let Ended { into, kind, received } = ended;
        match kind {
            Kind::Delta { record, from } => self.end_apply(&into, received, &record, from).await,
            Kind::Whole { to } => self.end_whole(&into, received, to).await,
        }
    }

    /// Makes ready for a whole volume. What was there before stays until [`Self::drop_replaced`].
    pub(in crate::volume) async fn begin_whole(
        &mut self,
        incoming: Incoming,
    ) -> Result<Receiving, ApplyError> {
        self.refresh().await?;
        let into = self.incoming()?;
        if incoming.how != Receive::Resume {
            self.clear_partially_received().await?;
        }
        let Incoming { to, how, stream } = incoming;
        Ok(self.begin(into, stream, how, Kind::Whole { to }))
    }

    async fn end_whole(
        &mut self,
        into: &DatasetName,
        received: Result<Received, ApplyError>,
        wanted: Guid,
    ) -> Result<Snapshot, ApplyError> {
        kill_point(KillPoint::ResyncReceived);
        // Also after an error: what is published must be what is there.
        self.refresh().await?;
        let to = received?.to;
        if to.guid != wanted {
            // Nothing stands on it yet, and it must not be taken for the node's volume.
            self.zfs.destroy(into).await?;
            self.refresh().await?;
            let file = FULL_STREAM.to_owned();
            return Err(ApplyError::WrongResult { file, wanted, got: to.guid });
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

    /// Gives up what a cut receive left, which nothing can be made of any more.
    pub(in crate::volume) async fn drop_partial(&mut self) -> Result<Removed, ApplyError> {
        let removed = self.zfs.drop_partial(&self.incoming()?).await;
        self.refresh().await?;
        Ok(removed?)
    }
}
