//! The registrar itself, which has every delta it announces.

use super::super::fetch_error::FetchError;
use super::super::partial_file::{DownloadTimeouts, PartialFile};
use super::{DeltaSource, Progress};
use async_trait::async_trait;
use bootstash_delta::DeltaRecord;
use bootstash_net::api::{CallError, Client, DeltaQuery, Found, routes};
use std::time::Duration;

/// The longest without a byte from the registrar, which may have to share a low rate among many.
pub(super) const STALL: Duration = Duration::from_secs(90);

/// Downloads by HTTP range, and wants no redirect to a peer.
#[derive(Debug)]
pub(in super::super) struct RegistrarSource(Client);

impl RegistrarSource {
    pub(in super::super) fn new(registrar: Client) -> Self {
        Self(registrar)
    }
}

/// Asks for a delta from byte `offset` on.
pub(super) async fn request(
    registrar: &Client,
    record: &DeltaRecord,
    offset: u64,
    query: DeltaQuery,
) -> Result<Found, CallError> {
    registrar.find(&format!("{}/{}", routes::DELTAS, record.file), &query, offset).await
}

#[async_trait]
impl DeltaSource for RegistrarSource {
    async fn fetch(&mut self, file: &PartialFile<'_>) -> Result<Progress, FetchError> {
        let Some(open) = file.open().await? else { return Ok(Progress::Whole) };
        match request(&self.0, file.record(), open.offset(), DeltaQuery { direct: true }).await? {
            Found::Here(response) => open.append(response, DownloadTimeouts::stall(STALL)).await?,
            Found::Elsewhere(location) => return Err(FetchError::Redirected { location }),
        };
        Ok(Progress::Whole)
    }

    /// Nobody is left to ask: whether it is fetched again, the follower decides.
    fn blame(&mut self, _record: &DeltaRecord) -> bool {
        false
    }
}
