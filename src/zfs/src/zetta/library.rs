//! libzfs_core by way of libzetta: the only place that calls it.
//!
//! Promises: no call runs on the runtime's threads, or panics out of here; each error says what was
//! called, and carries the kernel's number where there is one.
//!
//! What libzetta has and is not used: `create` knows no deduplication; `read_properties` panics on the
//! compressions we set; `ZfsOpen3::destroy` hides what `zfs` said.

use crate::call_monitor::Calls;
use crate::{ByteStream, OpenError, ROLE_PROPERTY, SNAPSHOT_ROLE, ZfsFailure, checked_stream};
use bootstash_base::blocking::{BlockingError, BlockingPool};
use libnv::nvpair::Value;
use libzetta::libnv;
use libzetta::zfs::lzc::ZfsLzc;
use libzetta::zfs::{BookmarkRequest, DestroyTiming, Error, SendFlags, ZfsEngine};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::unix::pipe::Receiver;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout};

const DEVICE: &str = "/dev/zfs";
/// Calls that a kernel which hangs can hold.
const THREADS: usize = 4;

/// An initialised libzfs_core.
#[derive(Clone, Debug)]
pub(super) struct Library {
    engine: ZfsLzc,
    pool: BlockingPool,
    calls: Calls,
    /// For each call that moves no data.
    limit: Duration,
}

impl Library {
    pub(super) fn open(limit: Duration, calls: &Calls) -> Result<Self, OpenError> {
        if !Path::new(DEVICE).exists() {
            return Err(OpenError::NoKernel);
        }
        match ZfsLzc::new() {
            Ok(engine) => {
                let pool = BlockingPool::new("libzfs_core", THREADS);
                Ok(Self { engine, pool, calls: calls.clone(), limit })
            }
            Err(error) => Err(OpenError::Library { source: failure("libzfs_core_init", error) }),
        }
    }

    /// Whether a file system or snapshot is there. Only a yes is an answer: libzfs_core takes every
    /// error of the kernel for a no.
    pub(super) async fn exists(&self, name: &str) -> Result<bool, ZfsFailure> {
        self.call("exists", name, |engine, path| engine.exists(path)).await
    }

    /// Takes one snapshot, and marks it as ours in the same moment.
    pub(super) async fn snapshot(&self, name: &str) -> Result<(), ZfsFailure> {
        let role = HashMap::from([(ROLE_PROPERTY.to_owned(), SNAPSHOT_ROLE.to_owned())]);
        self.call("snapshot", name, |engine, path| engine.snapshot(&[path], Some(role))).await
    }

    pub(super) async fn bookmark(&self, snapshot: &str, bookmark: &str) -> Result<(), ZfsFailure> {
        let bookmark = PathBuf::from(bookmark);
        let work = |engine: &ZfsLzc, path| engine.bookmark(&[BookmarkRequest::new(path, bookmark)]);
        self.call("bookmark", snapshot, work).await
    }

    /// Destroys one snapshot now or not at all: one that is deferred would go with its last clone,
    /// long after the caller was told that it stays. One that is not there is no error.
    pub(super) async fn destroy_snapshot(&self, name: &str) -> Result<(), ZfsFailure> {
        let timing = DestroyTiming::RightNow;
        self.call("destroy", name, |engine, path| engine.destroy_snapshots(&[path], timing)).await
    }

    async fn call<T: Send + 'static>(
        &self,
        verb: &str,
        name: &str,
        work: impl FnOnce(&ZfsLzc, PathBuf) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, ZfsFailure> {
        let (engine, path, call) = (self.engine.clone(), PathBuf::from(name), title(verb, name));
        let named = call.clone();
        let work = move || work(&engine, path).map_err(|error| failure(&named, error));
        let _waiting = self.calls.begin(&call);
        let done = self.pool.run(Instant::now() + self.limit, work).await;
        done.unwrap_or_else(|error| Err(unreturned(call, error, self.limit)))
    }

    /// Sends a snapshot into a pipe, whose reading end is what is returned. A thread writes to it, and
    /// ends when the stream does or is dropped: its next write then fails.
    pub(super) fn send(
        &self,
        from: Option<String>,
        to: &str,
        stall: Duration,
    ) -> Result<ByteStream, ZfsFailure> {
        let call = title("send", to);
        let refused = |source| ZfsFailure::Refused { call: call.clone(), source };
        let (reader, writer) = io::pipe().map_err(refused)?;
        let pipe = Receiver::from_owned_fd(reader.into()).map_err(refused)?;
        let (engine, path, named) = (self.engine.clone(), PathBuf::from(to), call.clone());
        // It owns the writing end: whichever way it ends, that is closed.
        let sending = spawn_blocking(move || {
            let flags = SendFlags::empty();
            let sent = match from {
                Some(from) => engine.send_incremental(path, from, writer, flags),
                None => engine.send_full(path, writer, flags),
            };
            sent.map_err(|error| failure(&named, error))
        });
        Ok(checked_stream::stream(pipe, call.clone(), stall, end(call, sending, stall)))
    }
}

/// The pipe's end says nothing; the call's does.
async fn end(call: String, sending: JoinHandle<Result<(), ZfsFailure>>, limit: Duration) -> io::Result<()> {
    let outcome = match timeout(limit, sending).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => Err(ZfsFailure::Unexpected { command: call, stderr: error.to_string() }),
        Err(_) => Err(ZfsFailure::Deadline { command: call, after: limit }),
    };
    outcome.map_err(io::Error::other)
}

/// What a call becomes that did not return.
fn unreturned(call: String, error: BlockingError, limit: Duration) -> ZfsFailure {
    match error {
        BlockingError::Deadline => ZfsFailure::Deadline { command: call, after: limit },
        BlockingError::NoThread(source) => ZfsFailure::Spawn { program: call, source },
        BlockingError::Panicked(_) => ZfsFailure::Unexpected { command: call, stderr: error.to_string() },
    }
}

fn title(verb: &str, name: &str) -> String {
    format!("libzfs_core {verb} {name}")
}

/// libzetta tells some refusals by one number, others by one for each name in the call; ours have
/// one name.
fn failure(call: &str, error: Error) -> ZfsFailure {
    let call = call.to_owned();
    let number = match error {
        Error::Io(source) | Error::LZCInitializationFailed(source) => {
            return ZfsFailure::Refused { call, source };
        }
        Error::MultiOpError(ref numbers) => numbers.values().find_map(|number| match number {
            Value::Int32(number) => Some(*number),
            _ => None,
        }),
        _ => None,
    };
    match number {
        Some(number) => ZfsFailure::Refused { call, source: io::Error::from_raw_os_error(number) },
        // Its texts name no more than the variant.
        None => ZfsFailure::Unexpected { command: call, stderr: format!("{error:?}") },
    }
}
