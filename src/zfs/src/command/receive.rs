//! Receives: `zfs receive`, fed through a pipe of ours and nothing else.
//!
//! zfs-fuse goes on with a receive whose command was killed if it was given a file; what it cannot
//! go on without is the pipe. So an abort closes the pipe and lets the command find out, which
//! leaves the file system at the snapshot it had; dropping the future closes it, too.

use super::CommandZfs;
use super::parse;
use super::probe::failure;
use super::run::{Answer, Pipe, Running};
use super::stderr::{self, ZfsMessage};
use super::stream_header::{self, Begin};
use crate::call_monitor::Calls;
use crate::{ByteStream, ROLE_PROPERTY, Receive, ReceiveError, Received, Role, Snapshot, ZfsFailure};
use bootstash_base::kill_point::{KillPoint, kill_point};
use bootstash_base::names::DatasetName;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::ChildStdin;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Set on the parent while a receive makes a new file system below it; its value is that one's last
/// name. ZFS can make a file system by a receive and be killed before we mark it with our role: by
/// this it is known as ours all the same.
pub(super) const RECEIVING_PROPERTY: &str = "org.bootstash:receiving";

const CHUNK: usize = 256 << 10;

/// Who receives into what, within this process.
#[derive(Debug, Default)]
pub(super) struct Locks(parking_lot::Mutex<HashMap<DatasetName, Arc<Mutex<()>>>>);

impl Locks {
    fn of(&self, into: &DatasetName) -> Arc<Mutex<()>> {
        let mut locks = self.0.lock();
        // Whoever holds or awaits a lock has a copy; the others are of no use any more.
        locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        Arc::clone(locks.entry(into.clone()).or_default())
    }
}

/// A command being fed. Dropped before its end, it leaves a task that waits (no longer than `limit`)
/// until the command noticed its closed pipe, and only then lets the next receive begin.
struct Feeding {
    running: Option<(Running, OwnedMutexGuard<()>)>,
    limit: Duration,
}

impl Feeding {
    fn ending(&mut self, limit: Duration) -> Option<JoinHandle<Result<Answer, ZfsFailure>>> {
        let (running, lock) = self.running.take()?;
        let runtime = Handle::try_current().ok()?;
        Some(runtime.spawn(async move {
            let answer = running.end(limit).await;
            drop(lock);
            answer
        }))
    }

    /// The task goes on where this future is dropped.
    async fn end(&mut self, limit: Duration) -> Result<Answer, ZfsFailure> {
        let lost = || parse::answer("zfs receive", "", "end of the command");
        self.ending(limit).ok_or_else(lost)?.await.map_err(|_| lost())?
    }
}

impl Drop for Feeding {
    fn drop(&mut self) {
        drop(self.ending(self.limit));
    }
}

/// How feeding the command went.
enum Fed {
    /// All of the stream is in the pipe.
    Whole,
    /// The command stopped reading; what it said tells why.
    Refused,
    /// The stream we were given failed.
    Broken(io::Error),
}

impl CommandZfs {
    pub(super) async fn receive_stream(
        &self,
        into: &DatasetName,
        stream: ByteStream,
        how: Receive,
    ) -> Result<Received, ReceiveError> {
        let other = |source| ReceiveError::Other { into: into.clone(), source };
        let lock = self.lock(into).await?;
        let there = self.find(into).await.map_err(other)?;
        if there.as_ref().is_some_and(|found| found.state.role != Some(Role::Volume)) {
            return Err(ReceiveError::Foreign { into: into.clone() });
        }
        let (begin, stream) = self.begin(into, stream).await?;
        // zfs-fuse, given an increment for a file system that is not there, looks for any that has the base, and
        // receives into that instead.
        if there.is_none() && begin.as_ref().is_some_and(|begin| begin.from.is_some()) {
            return Err(ReceiveError::WrongBase { into: into.clone() });
        }
        self.check_partial(into, how).await?;
        let marked = there.is_some() && self.marked(into).await.map_err(other)?;
        let before = match &there {
            Some(_) => self.announced_snapshot(into, begin.as_ref()).await.map_err(other)?,
            None => self.announce(into).await.map(|()| None)?,
        };
        kill_point(KillPoint::ReceiveAnnounced);
        let fed = self.feed(into, stream, how, lock).await;
        kill_point(KillPoint::ReceiveFed);
        let mark = if marked { Ok(()) } else { self.mark(into).await };
        // The first thing to go wrong is the one to tell.
        fed.and(mark.map_err(other))?;
        let from = begin.as_ref().and_then(|begin| begin.from);
        // OpenZFS ignores a snapshot it has and calls that a success.
        match self.announced_snapshot(into, begin.as_ref()).await.map_err(other)? {
            Some(to) if Some(&to) != before.as_ref() => Ok(Received { from, to }),
            Some(_) => Err(ReceiveError::WrongBase { into: into.clone() }),
            None => {
                Err(other(parse::answer("zfs receive", into.as_str(), "file system with a snapshot of ours")))
            }
        }
    }

    /// The snapshot that a stream leads to, if it is there. Listing all of them to find the newest would take the
    /// longer the more there are.
    async fn announced_snapshot(
        &self,
        into: &DatasetName,
        begin: Option<&Begin>,
    ) -> Result<Option<Snapshot>, ZfsFailure> {
        match begin.and_then(|begin| Some((begin.to, begin.to_name.as_ref()?))) {
            Some((guid, name)) => {
                Ok(self.find_snapshot(into, name).await?.filter(|found| found.guid == guid))
            }
            None => Ok(self.list_snapshots(into).await?.pop()),
        }
    }

    /// ZFS itself would name one kind of partial state and call the other an existing file system.
    async fn check_partial(&self, into: &DatasetName, how: Receive) -> Result<(), ReceiveError> {
        let other = |source| ReceiveError::Other { into: into.clone(), source };
        match (how, self.find_partial(into).await.map_err(other)?) {
            (Receive::Resume, None) => Err(ReceiveError::WrongBase { into: into.clone() }),
            (Receive::NonResumable | Receive::Resumable, Some(_)) => {
                Err(ReceiveError::PartialState { into: into.clone() })
            }
            _ => Ok(()),
        }
    }

    /// How the stream begins, and the whole of it.
    async fn begin(
        &self,
        into: &DatasetName,
        stream: ByteStream,
    ) -> Result<(Option<Begin>, ByteStream), ReceiveError> {
        let broken = |source| ReceiveError::Source { into: into.clone(), source };
        let stall = self.limits.stall;
        let begun = timeout(stall, stream_header::begin(stream)).await;
        begun.map_err(|_| broken(stalled(stall)))?.map_err(broken)
    }

    /// Says on the parent that the file system which will appear is ours.
    async fn announce(&self, into: &DatasetName) -> Result<(), ReceiveError> {
        let other = |source| ReceiveError::Other { into: into.clone(), source };
        let no_parent = || ReceiveError::NoParent { into: into.clone() };
        let parent = into.parent().ok_or_else(no_parent)?;
        self.find(&parent).await.map_err(other)?.ok_or_else(no_parent)?;
        let mark = format!("{RECEIVING_PROPERTY}={}", into.leaf());
        self.must(&["set", &mark, parent.as_str()]).await.map_err(other)?;
        Ok(())
    }

    /// Sets our role on what was received, if it came to be, and takes the announcement back.
    async fn mark(&self, into: &DatasetName) -> Result<(), ZfsFailure> {
        if self.find(into).await?.is_some() {
            self.must(&["set", "mountpoint=none", into.as_str()]).await?;
            self.must(&["set", &format!("{ROLE_PROPERTY}={}", Role::Volume), into.as_str()]).await?;
        }
        let Some(parent) = into.parent() else { return Ok(()) };
        self.must(&["inherit", RECEIVING_PROPERTY, parent.as_str()]).await.map(|_| ())
    }

    /// Whether the role is set on the file system itself.
    async fn marked(&self, into: &DatasetName) -> Result<bool, ZfsFailure> {
        let args = ["get", "-H", "-p", "-o", "name,property,value,source", ROLE_PROPERTY, into.as_str()];
        let answer = self.must(&args).await?;
        Ok(parse::local_value(&answer.stdout, ROLE_PROPERTY).is_some())
    }

    pub(super) async fn lock(&self, into: &DatasetName) -> Result<OwnedMutexGuard<()>, ReceiveError> {
        timeout(self.limits.busy, self.receiving.of(into).lock_owned())
            .await
            .map_err(|_| ReceiveError::Busy { into: into.clone() })
    }

    async fn feed(
        &self,
        into: &DatasetName,
        stream: ByteStream,
        how: Receive,
        lock: OwnedMutexGuard<()>,
    ) -> Result<(), ReceiveError> {
        let other = |source| ReceiveError::Other { into: into.clone(), source };
        let keep = how != Receive::NonResumable && self.capabilities.resumable_receive;
        let flags = if keep { "-su" } else { "-u" };
        let mut running = self.zfs.start(&["receive", flags, into.as_str()], Pipe::Input).map_err(other)?;
        let pipe = running.child.stdin.take();
        let mut feeding = Feeding { running: Some((running, lock)), limit: self.limits.call };
        let fed = match pipe {
            Some(pipe) => pump(stream, pipe, self.limits.stall, &self.calls).await,
            None => Fed::Refused,
        };
        // The pipe is closed by now: the command ends, with the stream whole or without.
        let answer = feeding.end(self.limits.stall).await.map_err(other)?;
        match fed {
            Fed::Broken(source) => Err(ReceiveError::Source { into: into.clone(), source }),
            Fed::Whole | Fed::Refused if answer.ok => Ok(()),
            // A stream that came to its own end was not cut: what ZFS cannot tell apart here is damage.
            Fed::Whole if keep && stderr::read(&answer.stderr) == Some(ZfsMessage::Truncated) => {
                Err(ReceiveError::Corrupt { into: into.clone() })
            }
            Fed::Whole | Fed::Refused => Err(self.refusal(into.clone(), answer).await),
        }
    }
}

impl CommandZfs {
    /// zfs-fuse says the same of a quota that is reached as of a full pool.
    async fn refusal(&self, into: DatasetName, answer: Answer) -> ReceiveError {
        match refusal(into, answer) {
            ReceiveError::NoSpace { into } if self.is_confined(&into).await => ReceiveError::Quota { into },
            other => self.with_way_back(other).await,
        }
    }

    /// Whether the file system, or where it is not there the one above, has less room than the pool.
    async fn is_confined(&self, into: &DatasetName) -> bool {
        let above = into.parent().unwrap_or_else(|| into.clone());
        let own = match self.available(into.as_str()).await {
            None => self.available(above.as_str()).await,
            own => own,
        };
        matches!((own, self.available(into.pool()).await), (Some(own), Some(pool)) if own < pool)
    }

    async fn available(&self, name: &str) -> Option<u64> {
        let answer = self.must(&["get", "-H", "-p", "-o", "value", "available", name]).await.ok()?;
        parse::bytes(answer.stdout.trim())
    }
}

/// Moves the stream into the pipe and closes it. The pipe's owner, also when dropped.
async fn pump(mut stream: ByteStream, mut pipe: ChildStdin, stall: Duration, calls: &Calls) -> Fed {
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = match timeout(stall, stream.read(&mut buffer)).await {
            Ok(Ok(0)) => return Fed::Whole,
            Ok(Ok(read)) => read,
            Ok(Err(error)) => return Fed::Broken(error),
            Err(_) => return Fed::Broken(stalled(stall)),
        };
        let _waiting = calls.begin("zfs receive");
        match timeout(stall, pipe.write_all(&buffer[..read])).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Fed::Refused,
            Err(_) => return Fed::Broken(stood_still(stall)),
        }
    }
}

fn stalled(stall: Duration) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("no byte came for {} s", stall.as_secs()))
}

fn stood_still(stall: Duration) -> io::Error {
    let text =
        format!("zfs receive took no byte for {} s; is the pool overloaded or suspended?", stall.as_secs());
    io::Error::new(io::ErrorKind::TimedOut, text)
}

fn refusal(into: DatasetName, answer: Answer) -> ReceiveError {
    match stderr::read(&answer.stderr) {
        Some(ZfsMessage::WrongBase) => ReceiveError::WrongBase { into },
        Some(ZfsMessage::Modified) => ReceiveError::Modified { into, mend: String::new() },
        Some(ZfsMessage::Exists) => ReceiveError::Exists { into },
        Some(ZfsMessage::NoParent | ZfsMessage::Missing) => ReceiveError::NoParent { into },
        Some(ZfsMessage::Truncated) => ReceiveError::Truncated { into },
        Some(ZfsMessage::Corrupt) => ReceiveError::Corrupt { into },
        Some(ZfsMessage::NoSpace) => ReceiveError::NoSpace { into },
        Some(ZfsMessage::Quota) => ReceiveError::Quota { into },
        Some(ZfsMessage::Busy) => ReceiveError::Busy { into },
        Some(ZfsMessage::PartialState) => ReceiveError::PartialState { into },
        _ => ReceiveError::Other { into, source: failure(answer) },
    }
}
