//! Sends: the output of `zfs send`, through a pipe of ours, as a stream.
//!
//! Promises those of `ending`; dropping the stream ends and reaps the program.

use super::CommandZfs;
use super::probe::failure;
use super::run::{Pipe, Running};
use crate::{ByteStream, SendError, ZfsFailure, checked_stream};
use bootstash_base::error::Chain;
use bootstash_base::names::{DatasetName, SnapshotName};
use std::io;
use std::time::Duration;

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

    /// What `zfs` prints.
    pub(super) fn stream(&self, args: &[&str]) -> Result<ByteStream, ZfsFailure> {
        Ok(stream(self.zfs.start(args, Pipe::Output)?, self.limits.stall))
    }
}

fn stream(mut running: Running, limit: Duration) -> ByteStream {
    let (pipe, command) = (running.child.stdout.take(), running.command.clone());
    let end = end(running, limit);
    match pipe {
        Some(pipe) => checked_stream::stream(pipe, command, limit, end),
        None => checked_stream::stream(tokio::io::empty(), command, limit, end),
    }
}

async fn end(running: Running, limit: Duration) -> io::Result<()> {
    match running.end(limit).await {
        Ok(answer) if answer.ok => Ok(()),
        Ok(answer) => Err(io::Error::other(failure(answer))),
        Err(error) => Err(io::Error::other(Chain(&error).to_string())),
    }
}
