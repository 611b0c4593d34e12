//! Receiving the whole volume straight from the registrar's ZFS into ours. Where both can go on after
//! a cut, that needs no file on either side; where one cannot, a file is fetched.

use super::stage::Event;
use super::{FollowError, Follower, Step};
use crate::volume::Incoming;
use bootstash_base::error::{Classified, ErrorClass};
use bootstash_base::names::{Guid, SnapshotName};
use bootstash_delta::Encoding;
use bootstash_net::api::{
    AgentState, CallError, GUID_HEADER, SIZE_HEADER, SNAPSHOT_HEADER, Shown, StreamQuery, Transfer, routes,
    stream_header,
};
use bootstash_zfs::Receive;
use futures::TryStreamExt;
use reqwest::{Response, StatusCode};
use std::io;
use std::str::FromStr;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::io::StreamReader;

const SHOW_EVERY: Duration = Duration::from_millis(500);

impl Follower {
    /// Receives a volume that is not here yet, as a stream or as a file.
    pub(super) async fn receive_full_volume(&mut self) -> Result<Step, FollowError> {
        let state = self.volume.state();
        let resume = state.partial.as_ref().map(ToString::to_string);
        if !state.resumable || !self.try_stream(resume).await? {
            let record = self.full_record().await?;
            self.fetch_and_apply(&record).await?;
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
        let name: SnapshotName = header(&response, SNAPSHOT_HEADER)?;
        let to: Guid = header(&response, GUID_HEADER)?;
        let total_bytes = stream_header(&response, SIZE_HEADER);
        let how = if resumed { Receive::Resume } else { Receive::Resumable };
        tracing::info!(
            "receiving the whole volume at {name}{}",
            if resumed { ", the rest of it" } else { "" }
        );
        let started = Instant::now();
        let encoded = StreamReader::new(response.bytes_stream().map_err(io::Error::other));
        let showing = showing(name.clone(), self.state.clone());
        let shown = Shown::new(Encoding::Zstd.decode(encoded), total_bytes, showing);
        let received = self.volume.receive_full(Incoming { to, how, stream: Box::pin(shown) }).await;
        if matches!(&received, Err(error) if error.kind() == ErrorClass::Permanent) {
            // What came of a damaged stream leads nowhere.
            self.volume.drop_partial().await?;
        }
        let snapshot = received?;
        self.enter_after(Event::Applied);
        let seconds = started.elapsed().as_secs_f64();
        tracing::info!("received {} in {seconds:.1} s", snapshot.name);
        self.metrics.streamed(&snapshot.name, seconds);
        Ok(())
    }
}

/// One that has to be there.
fn header<T: FromStr>(response: &Response, name: &'static str) -> Result<T, FollowError> {
    stream_header(response, name).ok_or(FollowError::Stream { header: name })
}

fn is(error: &CallError, wanted: StatusCode) -> bool {
    matches!(error, CallError::Refused { status, .. } if *status == wanted.as_u16())
}

/// Shows how far the stream to `to` is, now and then.
fn showing(to: SnapshotName, state: watch::Sender<AgentState>) -> impl FnMut(Transfer) + Unpin {
    let mut next = Instant::now();
    move |transfer| {
        if Instant::now() >= next {
            next = Instant::now() + SHOW_EVERY;
            state.send_replace(AgentState::Applying { to: to.clone(), transfer: Some(transfer) });
        }
    }
}
