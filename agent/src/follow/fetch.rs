//! Fetching delta files: by range from where an earlier try ended, from each source in turn, verified when whole.
//!
//! Promises: memory does not grow with the file; what is handed out is byte for byte what was
//! announced; a file that is not is gone afterwards.

use super::fetch_error::FetchError;
use super::partial_file::PartialFile;
use super::source::{MulticastSource, PeerSource, RegistrarSource, fetch_verified};
use crate::metrics::Metrics;
use crate::multicast::MulticastClient;
use bootstash_daemon::config::MulticastReceiverConfig;
use bootstash_delta::DeltaRecord;
use bootstash_multicast::Group;
use bootstash_net::api::{Client, Dialer};
use std::path::{Path, PathBuf};

/// Fetches into one directory, one file at a time.
#[derive(Debug)]
pub(super) struct Fetcher {
    dir: PathBuf,
    multicast: MulticastSource,
    peer: PeerSource,
    registrar: RegistrarSource,
}

impl Fetcher {
    pub(super) fn new(
        registrar: Client,
        dialer: Dialer,
        multicast: MulticastReceiverConfig,
        dir: PathBuf,
        metrics: Metrics,
    ) -> Self {
        let client = MulticastClient::new(registrar.clone(), multicast, metrics.multicast());
        Self {
            dir,
            multicast: MulticastSource::new(client),
            peer: PeerSource::new(registrar.clone(), dialer, metrics),
            registrar: RegistrarSource::new(registrar),
        }
    }

    /// Joins the multicast group that the registrar names.
    pub(super) async fn join(&mut self, group: Option<Group>) {
        self.multicast.join(group).await;
    }

    /// Whether a multicast session would be received now.
    pub(super) fn receives_multicast(&self) -> bool {
        self.multicast.receives()
    }

    /// The verified file of `record`. Goes on where an earlier try ended; discard it when done.
    pub(super) async fn fetch(&mut self, record: &DeltaRecord) -> Result<PathBuf, FetchError> {
        let file = PartialFile::of(record, &self.dir)?;
        self.sweep(file.path()).await;
        fetch_verified(&mut [&mut self.multicast, &mut self.peer, &mut self.registrar], &file).await?;
        Ok(file.path().to_owned())
    }

    /// Removes what is left of fetches where nothing is to be fetched.
    pub(super) async fn clear(&self) {
        self.sweep(&self.dir).await;
    }

    /// Removes what was left of other fetches: one that was superseded is never asked for again.
    async fn sweep(&self, keep: &Path) {
        let Ok(mut entries) = tokio::fs::read_dir(&self.dir).await else { return };
        while let Ok(Some(entry)) = entries.next_entry().await {
            if entry.path() != keep {
                discard(&entry.path()).await;
            }
        }
    }
}

/// Removes a file; one that stays is swept before the next fetch.
pub(super) async fn discard(path: &Path) {
    if let Err(error) = tokio::fs::remove_file(path).await {
        tracing::debug!("cannot remove {}: {error}", path.display());
    }
}
