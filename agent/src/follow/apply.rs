//! One delta: fetched, verified, applied to the volume.

use super::fetch::discard;
use super::fetch_error::FetchError;
use super::stage::Event;
use super::{FollowError, Follower};
use bootstash_base::error::{Chain, Classified, ErrorClass};
use bootstash_base::kill_point::{KillPoint, kill_point};
use bootstash_delta::DeltaRecord;
use bootstash_net::api::{AgentState, DeltaComplaint, routes};
use reqwest::StatusCode;
use std::path::Path;
use tokio::time::Instant;

const MIB: f64 = 1024.0 * 1024.0;

impl Follower {
    /// Fetches and applies one delta. A file that turns out to be damaged is fetched a second time, not a third.
    pub(super) async fn fetch_and_apply(&mut self, record: &DeltaRecord) -> Result<(), FollowError> {
        self.state.send_replace(AgentState::Applying { to: record.to_name.clone(), transfer: None });
        let applied = match self.try_fetch_and_apply(record).await {
            Err(error) if blames_the_file(&error) => {
                tracing::warn!("fetching {} again: {}", record.file, Chain(&error));
                let again = self.try_fetch_and_apply(record).await;
                if again.as_ref().is_err_and(blames_the_file) {
                    self.complain_of(record).await;
                }
                again
            }
            other => other,
        };
        if let Err(error) = &applied {
            self.metrics.failed(error.kind());
        }
        applied
    }

    async fn try_fetch_and_apply(&mut self, record: &DeltaRecord) -> Result<(), FollowError> {
        let started = Instant::now();
        let file = self.fetcher.fetch(record).await?;
        kill_point(KillPoint::FetchVerified);
        let applied = self.volume.apply(record.clone(), file.clone()).await;
        kill_point(KillPoint::Applied);
        match &applied {
            Ok(_) => self.keep_for_peers(&file, record).await,
            Err(error) if error.kind() == ErrorClass::Permanent => discard(&file).await,
            // After a failure that may pass, the good file serves the next try.
            Err(_) => {}
        }
        let snapshot = applied?;
        self.enter_after(Event::Applied);
        self.health.well();
        let seconds = started.elapsed().as_secs_f64();
        tracing::info!("applied {} in {seconds:.1} s, {:.1} MiB", snapshot.name, record.bytes as f64 / MIB);
        self.metrics.applied(&snapshot.name, record.bytes, seconds);
        Ok(())
    }

    /// Has the registrar look at its file; one that is damaged there it makes anew.
    async fn complain_of(&self, record: &DeltaRecord) {
        let path = routes::DELTA_COMPLAINT.replace("{file}", &record.file);
        let complaint = DeltaComplaint { digest: record.digest.clone() };
        if let Err(error) = self.registrar.post::<serde_json::Value>(&path, &complaint).await {
            tracing::debug!("the registrar was not told of {}: {}", record.file, Chain(&error));
        }
    }

    /// Keeps the file for others, where this node serves them.
    async fn keep_for_peers(&self, file: &Path, record: &DeltaRecord) {
        if let Some(advertiser) = &self.advertiser
            && let Err(error) = advertiser.cache.keep(file, record).await
        {
            tracing::warn!("cannot keep {} for other nodes: {error}", record.file);
        }
        discard(file).await;
    }

    /// The record of a full stream, which the registrar makes on demand.
    pub(super) async fn full_record(&self) -> Result<DeltaRecord, FollowError> {
        let response = self.registrar.download(routes::FULL, 0).await?;
        if response.status() == StatusCode::ACCEPTED {
            return Err(FollowError::FullInPreparation);
        }
        Ok(self.registrar.decode(response).await?)
    }
}

fn blames_the_file(error: &FollowError) -> bool {
    match error {
        FollowError::Fetch(FetchError::Damaged { source, .. }) => source.kind() == ErrorClass::Permanent,
        FollowError::Apply(error) => error.blames_the_file(),
        _ => false,
    }
}
