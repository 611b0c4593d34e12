//! Sends: the output of `zfs send`, through a pipe of ours, as a stream.
//!
//! Promises: the end of file comes only after the program ended well; where no byte moves for too
//! long that is an error; dropping the stream ends and reaps the program.

use super::CommandZfs;
use super::probe::failure;
use super::run::{Pipe, Running};
use crate::fault::Chain;
use crate::names::{DatasetName, SnapshotName};
use crate::zfs::{ByteStream, SendError, ZfsFailure};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::process::ChildStdout;
use tokio::time::{Instant, Sleep};

impl CommandZfs {
    pub(super) async fn start_send(
        &self,
        of: &DatasetName,
        from: Option<&SnapshotName>,
        to: &SnapshotName,
    ) -> Result<ByteStream, SendError> {
        let other = |source| SendError::Other { of: of.clone(), source };
        for snapshot in from.into_iter().chain([to]) {
            if self.find_snapshot(of, snapshot).await.map_err(other)?.is_none() {
                return Err(SendError::Missing { of: of.clone(), snapshot: snapshot.clone() });
            }
        }
        let (base, target) = (from.map(|from| format!("@{from}")), format!("{of}@{to}"));
        let mut args = vec!["send"];
        args.extend(base.iter().flat_map(|base| ["-i", base.as_str()]));
        args.push(&target);
        self.stream(&args).map_err(other)
    }
}

impl CommandZfs {
    /// What `zfs` prints.
    pub(super) fn stream(&self, args: &[&str]) -> Result<ByteStream, ZfsFailure> {
        let running = self.zfs.start(args, Pipe::Output)?;
        Ok(Box::pin(SendStream::new(running, self.limits.stall)))
    }
}

type Ending = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// The fields of a reading stream; the child dies with them.
struct Reading {
    running: Running,
    stdout: ChildStdout,
    stall: Pin<Box<Sleep>>,
}

enum SendStream {
    Reading { reading: Box<Reading>, limit: Duration },
    Ending(Ending),
    Ended,
}

impl SendStream {
    fn new(mut running: Running, limit: Duration) -> Self {
        match running.child.stdout.take() {
            Some(stdout) => {
                let stall = Box::pin(tokio::time::sleep(limit));
                Self::Reading { reading: Box::new(Reading { running, stdout, stall }), limit }
            }
            None => Self::Ending(Box::pin(end(running, limit))),
        }
    }
}

impl AsyncRead for SendStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            match &mut *self {
                Self::Reading { reading, limit } => {
                    if ready!(reading.poll(context, buffer, *limit))? {
                        return Poll::Ready(Ok(()));
                    }
                    self.finish();
                }
                Self::Ending(ending) => {
                    let ended = ready!(ending.as_mut().poll(context));
                    *self = Self::Ended;
                    return Poll::Ready(ended);
                }
                Self::Ended => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl SendStream {
    /// From the end of the data to the end of the program.
    fn finish(&mut self) {
        if let Self::Reading { reading, limit } = std::mem::replace(self, Self::Ended) {
            *self = Self::Ending(Box::pin(end(reading.running, limit)));
        }
    }
}

impl Reading {
    /// Whether bytes came; false at the end of the data.
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
        limit: Duration,
    ) -> Poll<io::Result<bool>> {
        let before = buffer.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut self.stdout).poll_read(context, buffer) {
            self.stall.as_mut().reset(Instant::now() + limit);
            return Poll::Ready(read.map(|()| buffer.filled().len() > before));
        }
        ready!(self.stall.as_mut().poll(context));
        let text = format!("{} gave no byte for {} s", self.running.command, limit.as_secs());
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, text)))
    }
}

async fn end(running: Running, limit: Duration) -> io::Result<()> {
    match running.end(limit).await {
        Ok(answer) if answer.ok => Ok(()),
        Ok(answer) => Err(io::Error::other(failure(answer))),
        Err(error) => Err(io::Error::other(Chain(&error).to_string())),
    }
}
