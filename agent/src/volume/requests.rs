//! The changes that are requested of the volume's owner, and in which order they are made.
//!
//! Promises: those about overlays are made in the order in which they came, and wait for no receive; of the same kind, as
//! many as there are at a time; all others one after the other.

use super::{
    AdoptOverlayError, ApplyError, CatalogReadError, CollectError, CreateOverlayError, Incoming, OverlaySpec,
    PinError, RemoveOverlayError,
};
use bootstash_base::impersonate::UnixPeer;
use bootstash_delta::DeltaRecord;
use bootstash_delta::retention::Keep;
use bootstash_net::api::{AdoptReply, GcReport, OverlayReply, PinReply};
use bootstash_zfs::{Removed, Snapshot};
use std::collections::VecDeque;
use std::path::PathBuf;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

/// Requests that wait. More callers than this wait to get theirs in.
const QUEUE: usize = 32;

/// The agent stops, and takes no more orders.
#[derive(Debug, Error)]
#[error("the agent is stopping; try again when it runs")]
pub struct Stopping;

pub(super) type Reply<T, E> = oneshot::Sender<Result<T, E>>;

/// A change to make, of which each waits for the one before.
pub(super) enum Request {
    Apply { record: DeltaRecord, file: PathBuf, reply: Reply<Snapshot, ApplyError> },
    ReceiveFull { incoming: Incoming, reply: Reply<Snapshot, ApplyError> },
    KeepUnknown { why: String, reply: Reply<(), ApplyError> },
    Refresh { reply: Reply<(), ApplyError> },
    DropPartial { reply: Reply<Removed, ApplyError> },
    ReadCatalog { reply: Reply<(), CatalogReadError> },
    Collect { keep: Keep, dry_run: bool, reply: Reply<GcReport, CollectError> },
}

/// A change that a VM may wait for.
pub(super) enum OverlayRequest {
    Create(Create),
    Remove(Remove),
    Disk(DiskRequest),
}

/// A change about a disk that somebody else made.
pub(super) enum DiskRequest {
    Adopt { by: UnixPeer, path: PathBuf, reply: Reply<AdoptReply, AdoptOverlayError> },
    Pin { by: UnixPeer, path: PathBuf, reply: Reply<PinReply, PinError> },
    Unpin { by: UnixPeer, path: PathBuf, reply: Reply<Removed, PinError> },
}

/// An overlay to make.
pub(super) struct Create {
    pub(super) by: UnixPeer,
    pub(super) spec: OverlaySpec,
    pub(super) reply: Reply<OverlayReply, CreateOverlayError>,
}

/// An overlay to remove.
pub(super) struct Remove {
    pub(super) by: UnixPeer,
    pub(super) path: PathBuf,
    pub(super) reply: Reply<Removed, RemoveOverlayError>,
}

/// What is done at a time.
pub(super) enum Group {
    Creates(Vec<Create>),
    Removes(Vec<Remove>),
    Disk(DiskRequest),
}

/// The requests, on their way to the owner.
#[derive(Debug)]
pub struct Requests {
    others: mpsc::Receiver<Request>,
    overlays: mpsc::Receiver<OverlayRequest>,
}

/// What came.
pub(super) enum Came {
    Request(Request),
    /// As many as waited.
    Overlays,
    /// Nobody is left who could ask.
    End,
}

impl Requests {
    /// Both ends.
    pub(super) fn new() -> (mpsc::Sender<Request>, mpsc::Sender<OverlayRequest>, Self) {
        let (requests, others) = mpsc::channel(QUEUE);
        let (overlay_requests, overlays) = mpsc::channel(QUEUE);
        (requests, overlay_requests, Self { others, overlays })
    }

    /// Waits for the next; those about overlays join the ones that are `waiting`. Nothing is lost where this is dropped.
    pub(super) async fn next(&mut self, waiting: &mut Waiting, is_receiving: bool) -> Came {
        let (mut others, mut overlays) = (!is_receiving, true);
        loop {
            // The others are few, and each waits for its answer: overlays have their turn.
            tokio::select! {
                biased;
                request = self.others.recv(), if others => match request {
                    Some(request) => return Came::Request(request),
                    None => others = false,
                },
                count = self.overlays.recv_many(&mut waiting.came, QUEUE), if overlays => match count {
                    0 => overlays = false,
                    _ => {
                        waiting.queue.extend(waiting.came.drain(..));
                        return Came::Overlays;
                    }
                },
                else => return Came::End,
            }
        }
    }
}

/// Requests about overlays that are not served yet.
#[derive(Default)]
pub(super) struct Waiting {
    came: Vec<OverlayRequest>,
    queue: VecDeque<OverlayRequest>,
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The first, and with it those of its kind that follow.
    pub(super) fn next_group(&mut self) -> Option<Group> {
        let (mut creates, mut removes) = (Vec::new(), Vec::new());
        while let Some(first) = self.queue.pop_front() {
            match first {
                OverlayRequest::Create(create) if removes.is_empty() => creates.push(create),
                OverlayRequest::Remove(remove) if creates.is_empty() => removes.push(remove),
                OverlayRequest::Disk(disk) if creates.is_empty() && removes.is_empty() => {
                    return Some(Group::Disk(disk));
                }
                other => {
                    self.queue.push_front(other);
                    break;
                }
            }
        }
        match (creates.is_empty(), removes.is_empty()) {
            (false, _) => Some(Group::Creates(creates)),
            (true, false) => Some(Group::Removes(removes)),
            (true, true) => None,
        }
    }

    /// Puts back what could not be done with the others.
    pub(super) fn put_back(&mut self, requests: impl DoubleEndedIterator<Item = OverlayRequest>) {
        requests.rev().for_each(|request| self.queue.push_front(request));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(path: &str) -> OverlayRequest {
        let (reply, _) = oneshot::channel();
        let (image, path) = ("alpine".parse().unwrap(), path.into());
        let spec = OverlaySpec { image, path, size_bytes: None, owner: None };
        OverlayRequest::Create(Create { by: UnixPeer::ourselves(), spec, reply })
    }

    fn remove(path: &str) -> OverlayRequest {
        let (reply, _) = oneshot::channel();
        OverlayRequest::Remove(Remove { by: UnixPeer::ourselves(), path: path.into(), reply })
    }

    fn unpin() -> OverlayRequest {
        let (reply, _) = oneshot::channel();
        let (by, path) = (UnixPeer::ourselves(), "/p".into());
        OverlayRequest::Disk(DiskRequest::Unpin { by, path, reply })
    }

    fn shown(group: Option<Group>) -> String {
        match group {
            Some(Group::Creates(all)) => format!("creates {}", all.len()),
            Some(Group::Removes(all)) => format!("removes {}", all.len()),
            Some(Group::Disk(_)) => "one".to_owned(),
            None => "none".to_owned(),
        }
    }

    #[test]
    fn what_follows_on_its_own_kind_is_done_with_it_and_nothing_overtakes() {
        let mut waiting = Waiting::default();
        waiting.queue.extend([create("/a"), create("/b"), remove("/a"), unpin(), unpin(), remove("/b")]);
        waiting.queue.extend([remove("/c"), create("/c")]);
        let groups = ["creates 2", "removes 1", "one", "one", "removes 2", "creates 1", "none"];
        for group in groups {
            assert_eq!(shown(waiting.next_group()), group);
        }
    }

    #[tokio::test]
    async fn while_a_receive_goes_on_only_overlays_are_taken() {
        let (requests, overlay_requests, mut received) = Requests::new();
        let mut waiting = Waiting::default();
        let (reply, _) = oneshot::channel();
        requests.send(Request::Refresh { reply }).await.ok().unwrap();
        overlay_requests.send(create("/a")).await.ok().unwrap();
        assert!(matches!(received.next(&mut waiting, true).await, Came::Overlays));
        assert!(!waiting.is_empty());
        assert!(matches!(received.next(&mut waiting, false).await, Came::Request(_)));
        drop((requests, overlay_requests));
        assert!(matches!(received.next(&mut waiting, false).await, Came::End));
    }
}
