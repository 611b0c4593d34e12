//! Bringing the whole volume straight from the registrar's ZFS into ours. Where both can go on after
//! a cut, that needs no file on either side; where one cannot, a file is fetched.

use super::{FollowError, Follower, Step};
use crate::volume::Incoming;
use bootstash::api::{
    AgentState, CallError, GUID_HEADER, SIZE_HEADER, SNAPSHOT_HEADER, StreamQuery, Transfer, routes,
};
use bootstash::delta::Encoding;
use bootstash::fault::{Fault, FaultKind};
use bootstash::names::{Guid, SnapshotName};
use bootstash::zfs::{ByteStream, Receive};
use futures::TryStreamExt;
use reqwest::{Response, StatusCode};
use std::io;
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::io::StreamReader;

const SHOW_EVERY: Duration = Duration::from_millis(500);

impl Follower {
    /// Brings a volume that is not here yet.
    pub(super) async fn bring_whole(&mut self) -> Result<Step, FollowError> {
        let state = self.volume.state();
        let resume = state.partial.as_ref().map(ToString::to_string);
        if !state.resumable || !self.try_stream(resume).await? {
            let record = self.full_record().await?;
            self.bring(&record).await?;
        }
        Ok(Step::Again)
    }

    /// False where the registrar knows no such thing.
    async fn try_stream(&mut self, resume: Option<String>) -> Result<bool, FollowError> {
        let resumed = resume.is_some();
        let response = match self.registrar.stream(routes::STREAM, &StreamQuery { resume }).await {
            Ok(response) => response,
            Err(error) if is(&error, StatusCode::NOT_FOUND) && !resumed => return Ok(false),
            Err(error) if is(&error, StatusCode::GONE) || is(&error, StatusCode::NOT_FOUND) => {
                tracing::info!("the registrar cannot go on with the stream that was cut; starting anew");
                self.volume.drop_partial().await?;
                return Ok(true);
            }
            Err(error) => return Err(error.into()),
        };
        self.receive(response, resumed).await.inspect_err(|error| self.metrics.failed(error.kind()))?;
        Ok(true)
    }

    async fn receive(&mut self, response: Response, resumed: bool) -> Result<(), FollowError> {
        let name: SnapshotName = self.header(&response, SNAPSHOT_HEADER)?;
        let to: Guid = self.header(&response, GUID_HEADER)?;
        let total_bytes = self.header(&response, SIZE_HEADER).ok();
        let how = if resumed { Receive::Rest } else { Receive::Resumable };
        tracing::info!(
            "receiving the whole volume at {name}{}",
            if resumed { ", the rest of it" } else { "" }
        );
        let started = Instant::now();
        let encoded = StreamReader::new(response.bytes_stream().map_err(io::Error::other));
        let shown = Shown::new(Encoding::Zstd.decode(encoded), name.clone(), total_bytes, self.state.clone());
        let received = self.volume.receive_full(Incoming { to, how, stream: Box::pin(shown) }).await;
        if matches!(&received, Err(error) if error.kind() == FaultKind::Permanent) {
            // What came of a damaged stream leads nowhere.
            self.volume.drop_partial().await?;
        }
        let snapshot = received?;
        self.catalog_is_current = false;
        let seconds = started.elapsed().as_secs_f64();
        tracing::info!("received {} in {seconds:.1} s", snapshot.name);
        self.metrics.streamed(&snapshot.name, seconds);
        Ok(())
    }

    fn header<T: FromStr>(&self, response: &Response, name: &'static str) -> Result<T, FollowError> {
        let text = response.headers().get(name).and_then(|value| value.to_str().ok());
        text.and_then(|text| text.parse().ok()).ok_or(FollowError::Stream { header: name })
    }
}

fn is(error: &CallError, wanted: StatusCode) -> bool {
    matches!(error, CallError::Refused { status, .. } if *status == wanted.as_u16())
}

/// A stream that shows how far it is, now and then.
struct Shown {
    stream: ByteStream,
    to: SnapshotName,
    transfer: Transfer,
    state: watch::Sender<AgentState>,
    next: Instant,
}

impl Shown {
    fn new(
        stream: ByteStream,
        to: SnapshotName,
        total_bytes: Option<u64>,
        state: watch::Sender<AgentState>,
    ) -> Self {
        Self { stream, to, transfer: Transfer { bytes: 0, total_bytes }, state, next: Instant::now() }
    }

    fn show(&mut self) {
        if Instant::now() >= self.next {
            self.next = Instant::now() + SHOW_EVERY;
            let (to, transfer) = (self.to.clone(), Some(self.transfer));
            self.state.send_replace(AgentState::Applying { to, transfer });
        }
    }
}

impl AsyncRead for Shown {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = self.stream.as_mut().poll_read(context, buffer);
        self.transfer.bytes += (buffer.filled().len() - before) as u64;
        self.show();
        polled
    }
}
