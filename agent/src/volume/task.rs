//! The task that owns the volume: it carries out what is requested.
//!
//! Promises: a receive goes on while overlays are made and removed, and nothing else is done meanwhile.

use super::generations::{Ended, Receiving};
use super::requests::{Came, DiskRequest, Group, OverlayRequest, Reply, Request, Requests, Waiting};
use super::views::MOUNT_CHECK_INTERVAL;
use super::{ApplyError, Volume};
use bootstash_zfs::Snapshot;
use std::pin::Pin;
use std::sync::Arc;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::task::AbortOnDropHandle;

/// A receive that goes on beside other work of this task, and ends with it.
struct UnderWay {
    receiving: Pin<Box<dyn Future<Output = Ended> + Send>>,
    ended: Option<Ended>,
    reply: Reply<Snapshot, ApplyError>,
}

/// What to do next.
enum Next {
    Check,
    EndReceive,
    ServeOverlays,
    Serve(Request),
    Stop,
}

impl UnderWay {
    fn new(receiving: Receiving, reply: Reply<Snapshot, ApplyError>) -> Self {
        Self { receiving: Box::pin(receiving.run()), ended: None, reply }
    }

    /// Waits for its end.
    async fn end(&mut self) {
        if self.ended.is_none() {
            self.ended = Some(self.receiving.as_mut().await);
        }
    }
}

/// Does `work` while the receive, if there is one, goes on.
async fn beside<T>(receive: &mut Option<UnderWay>, work: impl Future<Output = T>) -> T {
    let Some(receive) = receive else { return work.await };
    let mut work = std::pin::pin!(work);
    tokio::select! {
        biased;
        done = &mut work => return done,
        () = receive.end() => (),
    }
    work.await
}

impl Volume {
    /// Carries out requests until the agent stops. The request under way then ends first; a receive ends
    /// by being broken off.
    pub async fn run(mut self, mut requests: Requests) {
        let warming_up = bootstash_zfs::warm_up(Arc::clone(&self.zfs), self.layout.volume.clone());
        // Dropped, it ends: nobody waits for it.
        let _warming_up = AbortOnDropHandle::new(tokio::spawn(warming_up));
        let mut mount_checks = interval_at(Instant::now() + MOUNT_CHECK_INTERVAL, MOUNT_CHECK_INTERVAL);
        mount_checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (cancel, mut waiting, mut receive) = (self.cancel.clone(), Waiting::default(), None);
        loop {
            let is_receiving = receive.is_some();
            // The check of mounts comes first when it is due: requests can follow on each other without a pause.
            let next = tokio::select! {
                biased;
                () = cancel.cancelled() => Next::Stop,
                _ = mount_checks.tick() => Next::Check,
                () = ended(&mut receive) => Next::EndReceive,
                next = next(&mut requests, &mut waiting, is_receiving) => next,
            };
            match next {
                Next::Check => beside(&mut receive, self.check()).await,
                Next::EndReceive => self.end(receive.take()).await,
                Next::ServeOverlays => beside(&mut receive, self.serve_overlays(&mut waiting)).await,
                Next::Serve(request) => receive = self.serve(request).await,
                Next::Stop => break,
            }
        }
        if let Some(receive) = &mut receive {
            receive.end().await;
        }
        self.end(receive).await;
    }

    /// What may have changed behind the agent's back.
    async fn check(&mut self) {
        let mut changed = self.check_views().await;
        if self.generations.are_stale() {
            changed |= self.look_at_generations().await;
        }
        if changed {
            self.publish();
        }
    }

    /// Takes note of a receive that ended.
    async fn end(&mut self, receive: Option<UnderWay>) {
        let Some(UnderWay { ended: Some(ended), reply, .. }) = receive else { return };
        let done = self.end_receive(ended).await;
        self.answer(reply, done);
    }

    /// Publishes before it answers, so that whoever is answered sees the change. One who went away
    /// without waiting for the answer is no concern here. Gives the receive that has begun.
    async fn serve(&mut self, request: Request) -> Option<UnderWay> {
        match request {
            Request::Apply { record, file, reply } => {
                let begun = self.begin_apply(record, &file).await;
                return self.begun(begun, reply).await;
            }
            Request::ReceiveFull { incoming, reply } => {
                let begun = self.generations.begin_whole(incoming).await;
                return self.begun(begun, reply).await;
            }
            Request::KeepUnknown { why, reply } => {
                let path = self.layout.unknown_dir.clone();
                let kept = self.generations.keep_unknown(&why).await;
                let done = kept.map_err(|source| ApplyError::Note { path, source });
                self.answer(reply, done);
            }
            Request::Refresh { reply } => {
                let done = self.generations.refresh().await.map_err(ApplyError::from);
                self.answer(reply, done);
            }
            Request::DropPartial { reply } => {
                let done = self.generations.drop_partial().await;
                self.answer(reply, done);
            }
            Request::ReadCatalog { reply } => {
                let done = self.read_catalog().await;
                self.answer(reply, done);
            }
            Request::Collect { keep, dry_run, reply } => {
                let done = self.collect(keep, dry_run).await;
                self.answer(reply, done);
            }
        }
        None
    }

    async fn begun(
        &mut self,
        begun: Result<Receiving, ApplyError>,
        reply: Reply<Snapshot, ApplyError>,
    ) -> Option<UnderWay> {
        match begun {
            Ok(receiving) => Some(UnderWay::new(receiving, reply)),
            Err(error) => {
                self.restore_awaited_views().await;
                self.answer(reply, Err(error));
                None
            }
        }
    }

    /// Serves the first of those that wait, and others with it.
    async fn serve_overlays(&mut self, waiting: &mut Waiting) {
        match waiting.next_group() {
            Some(Group::Creates(group)) => {
                let left = self.create_overlays(group).await;
                waiting.put_back(left.into_iter().map(OverlayRequest::Create));
            }
            Some(Group::Removes(group)) => {
                let left = self.remove_overlays(group).await;
                waiting.put_back(left.into_iter().map(OverlayRequest::Remove));
            }
            Some(Group::Disk(request)) => self.serve_disk(request).await,
            None => (),
        }
    }

    async fn serve_disk(&mut self, request: DiskRequest) {
        match request {
            DiskRequest::Adopt { by, path, reply } => {
                let done = self.adopt_overlay(by, &path).await;
                self.answer(reply, done);
            }
            DiskRequest::Pin { by, path, reply } => {
                let done = self.pin(by, &path).await;
                self.answer(reply, done);
            }
            DiskRequest::Unpin { by, path, reply } => {
                let done = self.unpin(by, &path).await;
                self.answer(reply, done);
            }
        }
    }

    fn answer<T, E>(&self, reply: Reply<T, E>, done: Result<T, E>) {
        self.publish();
        drop(reply.send(done));
    }
}

/// What to do next, but for what is due.
async fn next(requests: &mut Requests, waiting: &mut Waiting, is_receiving: bool) -> Next {
    if !waiting.is_empty() {
        return Next::ServeOverlays;
    }
    match requests.next(waiting, is_receiving).await {
        Came::Request(request) => Next::Serve(request),
        Came::Overlays => Next::ServeOverlays,
        Came::End => Next::Stop,
    }
}

/// Waits for the end of a receive; for ever, where there is none.
async fn ended(receive: &mut Option<UnderWay>) {
    match receive {
        Some(receive) => receive.end().await,
        None => std::future::pending().await,
    }
}
