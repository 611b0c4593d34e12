//! Where a delta file can come from: multicast, a peer, the registrar; asked in this order.
//!
//! Promises: what one source leaves, the next goes on with; only a file that was verified is handed out; a source
//! that can be blamed for a damaged file is left out of the second try.

#[cfg(test)]
mod flaky;
mod multicast;
mod peer;
mod peer_client;
mod registrar;
#[cfg(test)]
mod tests;

pub(super) use multicast::MulticastSource;
pub(super) use peer::PeerSource;
pub(super) use registrar::RegistrarSource;

use super::fetch_error::FetchError;
use super::partial_file::PartialFile;
use async_trait::async_trait;
use bootstash_base::kill_point::{KillPoint, kill_point};
use bootstash_delta::DeltaRecord;
use std::fmt;

/// How far a source got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The file has all its bytes. Whether they are the announced ones is not said.
    Whole,
    /// This source has no more of it now. What it gave is in the file, from its beginning on.
    Partial,
}

/// One place that delta files come from.
#[async_trait]
pub(super) trait DeltaSource: fmt::Debug + Send {
    /// Continues the file from where it ends, never beyond its announced length.
    ///
    /// # Errors
    /// Where no other source would do better, or this one is the only that can: the fetch ends.
    async fn fetch(&mut self, file: &PartialFile<'_>) -> Result<Progress, FetchError>;

    /// Told that the file is not what was announced. True where that can be this source's doing alone, and
    /// sources after it may send the right one; it does not ask the same sender again soon.
    fn blame(&mut self, record: &DeltaRecord) -> bool;
}

/// Fetches a file and verifies it.
pub(super) async fn fetch_verified(
    sources: &mut [&mut dyn DeltaSource],
    file: &PartialFile<'_>,
) -> Result<(), FetchError> {
    fetch_in_order(sources, file).await?;
    kill_point(KillPoint::FetchWhole);
    let Err(damaged) = file.verify().await else { return Ok(()) };
    match sources.iter_mut().position(|source| source.blame(file.record())) {
        Some(blamed) => {
            fetch_in_order(&mut sources[blamed + 1..], file).await?;
            file.verify().await
        }
        None => Err(damaged),
    }
}

async fn fetch_in_order(
    sources: &mut [&mut dyn DeltaSource],
    file: &PartialFile<'_>,
) -> Result<(), FetchError> {
    for source in sources {
        if source.fetch(file).await? == Progress::Whole {
            return Ok(());
        }
    }
    Err(file.broken_off(file.length().await?, None))
}
