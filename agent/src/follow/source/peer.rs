//! A peer to which the registrar redirects. A registrar that has room sends the file itself, in answer to the same
//! request; that is taken, too.

use super::super::fetch_error::FetchError;
use super::super::partial_file::{DownloadTimeouts, OpenFile, PartialFile};
use super::peer_client::{self, Peer, PeerClient, PeerError};
use super::registrar;
use super::{DeltaSource, Progress};
use crate::metrics::Metrics;
use async_trait::async_trait;
use bootstash_base::error::Chain;
use bootstash_delta::DeltaRecord;
use bootstash_net::api::{Client, DeltaQuery, Dialer, Found};
use reqwest::Response;

/// Downloads from wherever the registrar says.
#[derive(Debug)]
pub(in super::super) struct PeerSource {
    registrar: Client,
    peers: PeerClient,
    metrics: Metrics,
    /// The peer that sent a part of the delta with this digest.
    sent_by: Option<(String, Peer)>,
}

impl PeerSource {
    pub(in super::super) fn new(registrar: Client, dialer: Dialer, metrics: Metrics) -> Self {
        Self { registrar, peers: PeerClient::new(dialer), metrics, sent_by: None }
    }

    async fn ask(&mut self, location: &str, open: &OpenFile<'_>) -> Result<(Peer, Response), PeerError> {
        self.peers.ask(location, open.record(), open.offset()).await
    }

    /// What a peer sends must come soon, or be had elsewhere.
    async fn append(
        &mut self,
        peer: &Peer,
        response: Response,
        open: OpenFile<'_>,
    ) -> Result<Progress, FetchError> {
        let record = open.record();
        self.sent_by = Some((record.digest.clone(), peer.clone()));
        let deadline = peer_client::deadline(record.bytes);
        match open
            .append(response, DownloadTimeouts { stall: peer_client::STALL, deadline: Some(deadline) })
            .await
        {
            Ok(bytes) => {
                self.metrics.fetched_from_peer(bytes);
                Ok(Progress::Whole)
            }
            Err(FetchError::Broken { .. }) => {
                self.peers.quarantine(peer, &PeerError::Slow);
                self.metrics.peer_failed();
                Ok(Progress::Partial)
            }
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl DeltaSource for PeerSource {
    async fn fetch(&mut self, file: &PartialFile<'_>) -> Result<Progress, FetchError> {
        let Some(open) = file.open().await? else { return Ok(Progress::Whole) };
        let query = DeltaQuery { direct: false };
        let location = match registrar::request(&self.registrar, file.record(), open.offset(), query).await? {
            Found::Elsewhere(location) => location,
            Found::Here(response) => {
                open.append(response, DownloadTimeouts::stall(registrar::STALL)).await?;
                return Ok(Progress::Whole);
            }
        };
        match self.ask(&location, &open).await {
            Ok((peer, response)) => self.append(&peer, response, open).await,
            Err(error) => {
                tracing::debug!("{location} does not help with {}: {}", file.record().file, Chain(&error));
                self.metrics.peer_failed();
                Ok(Progress::Partial)
            }
        }
    }

    /// Quarantines the peer that sent a part of the file.
    fn blame(&mut self, record: &DeltaRecord) -> bool {
        let sender = self.sent_by.take().filter(|(digest, _)| *digest == record.digest);
        if let Some((_, peer)) = &sender {
            self.peers.quarantine(peer, &PeerError::WrongContent);
            self.metrics.peer_failed();
        }
        sender.is_some()
    }
}
