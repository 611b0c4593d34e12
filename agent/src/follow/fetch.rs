//! Fetching a delta file: by range from where an earlier try ended, verified when whole; from a peer
//! where the registrar sends us to one.
//!
//! Promises: memory does not grow with the file; what is handed out is byte for byte what was
//! announced; a file that is not is gone afterwards.

use super::peers::{self, Peer, PeerError, Peers};
use crate::hear::{Heard, Hearer};
use crate::metrics::Metrics;
use bootstash_base::error::{Chain, Classified, ErrorClass};
use bootstash_base::kill_point::{KillPoint, kill_point};
use bootstash_daemon::config::HearingConfig;
use bootstash_delta::DeltaReadError;
use bootstash_delta::DeltaRecord;
use bootstash_multicast::Group;
use bootstash_net::api::{CallError, Client, DeltaQuery, Dialer, Found, routes};
use reqwest::{Response, StatusCode};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;
use tokio::fs::File;
use tokio::io::{AsyncSeekExt, AsyncWriteExt};
use tokio::time::{timeout, timeout_at};

/// The longest without a byte from the registrar, which may have to share a low rate among many.
const REGISTRAR_STALL: Duration = Duration::from_secs(90);

/// A delta could not be fetched.
#[derive(Debug, Error)]
pub enum FetchError {
    /// What the registrar announced cannot be.
    #[error(
        "the registrar announced a delta file {file:?} with digest {digest:?}, which are not a valid file name and digest"
    )]
    Announcement {
        /// The file.
        file: String,
        /// Its digest.
        digest: String,
    },
    /// The registrar.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The download broke off; what came is kept.
    #[error("the download of {file} broke off at {at_bytes} of {bytes} bytes")]
    Broken {
        /// The file.
        file: String,
        /// What is here.
        at_bytes: u64,
        /// What was announced.
        bytes: u64,
        /// Why; none where it just ended.
        source: Option<reqwest::Error>,
    },
    /// A peer did not help; what came is kept.
    #[error("peer {peer} did not help")]
    Peer {
        /// It.
        peer: String,
    },
    /// The disk.
    #[error("cannot write {}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what was announced.
    #[error(
        "what the registrar sent as {file} is not what it announced; if it stays so, remove that file from the registrar's deltas and restart bootstash-registrar, which makes it anew"
    )]
    Damaged {
        /// The file.
        file: String,
        /// How it differs.
        source: DeltaReadError,
    },
}

impl Classified for FetchError {
    fn kind(&self) -> ErrorClass {
        match self {
            Self::Announcement { .. } => ErrorClass::Permanent,
            Self::Call(error) => error.kind(),
            Self::Broken { .. } | Self::Peer { .. } => ErrorClass::Transient,
            Self::Io { .. } => ErrorClass::Operator,
            Self::Damaged { source, .. } => source.kind(),
        }
    }
}

/// Who may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// The registrar, and a peer where it knows one.
    Anybody,
    /// The registrar alone.
    Registrar,
}

/// Fetches into one directory, one file at a time.
#[derive(Debug)]
pub(super) struct Fetcher {
    registrar: Client,
    dir: PathBuf,
    peers: Peers,
    metrics: Metrics,
    /// Who sent a part of which file, by digest.
    helped: Option<(String, Peer)>,
    /// Hears what is sent to all; none in tests on fakes.
    hearer: Option<Hearer>,
}

impl Fetcher {
    pub(super) fn new(registrar: Client, dialer: Dialer, dir: PathBuf, metrics: Metrics) -> Self {
        Self { registrar, dir, peers: Peers::new(dialer), metrics, helped: None, hearer: None }
    }

    /// Hears what is sent to all.
    pub(super) fn hearing(&mut self, config: HearingConfig) {
        self.hearer = Some(Hearer::new(self.registrar.clone(), config, self.metrics.hear()));
    }

    /// Takes note of where that is sent to.
    pub(super) async fn tune(&mut self, group: Option<Group>) {
        if let Some(hearer) = &mut self.hearer {
            hearer.tune(group).await;
        }
    }

    /// Whether it would be heard now.
    pub(super) fn hears(&self) -> bool {
        self.hearer.as_ref().is_some_and(Hearer::hears)
    }

    /// The verified file of `record`. Goes on where an earlier try ended; discard it when done.
    pub(super) async fn fetch(&mut self, record: &DeltaRecord) -> Result<PathBuf, FetchError> {
        let path = self.dir.join(local_name(record)?);
        self.sweep(&path).await;
        if self.hear(record, &path).await == Heard::Fetch {
            self.fetch_by_http(record, &path).await?;
        }
        kill_point(KillPoint::FetchWhole);
        match verified(record, &path).await {
            Err(FetchError::Damaged { .. }) if self.quarantine_peer(record) => {
                self.download(record, &path, Source::Registrar).await?;
                verified(record, &path).await?;
            }
            other => other?,
        }
        Ok(path)
    }

    /// With all others, where nothing of it is here yet.
    async fn hear(&mut self, record: &DeltaRecord, path: &Path) -> Heard {
        match &mut self.hearer {
            Some(hearer) if !path.exists() => hearer.hear(record, path).await,
            _ => Heard::Fetch,
        }
    }

    /// From a peer where the registrar sends us to one; what that does not give, from the registrar.
    async fn fetch_by_http(&mut self, record: &DeltaRecord, path: &Path) -> Result<(), FetchError> {
        match self.download(record, path, Source::Anybody).await {
            Err(FetchError::Peer { peer }) => {
                tracing::debug!("having {} from the registrar, not from {peer}", record.file);
                self.metrics.peer_failed();
                self.download(record, path, Source::Registrar).await
            }
            other => other,
        }
    }

    /// Whether a peer sent a part of what turned out to be damaged; it is left alone then.
    fn quarantine_peer(&mut self, record: &DeltaRecord) -> bool {
        let sender = self.helped.take().filter(|(digest, _)| *digest == record.digest);
        if let Some((_, peer)) = &sender {
            self.peers.quarantine(peer, &PeerError::WrongContent);
            self.metrics.peer_failed();
        }
        sender.is_some()
    }

    /// An answer from byte `offset` on, and the peer it comes from, if it is one.
    async fn open(
        &mut self,
        record: &DeltaRecord,
        offset: u64,
        source: Source,
    ) -> Result<(Response, Option<Peer>), FetchError> {
        let route = format!("{}/{}", routes::DELTAS, record.file);
        let query = DeltaQuery { direct: source == Source::Registrar };
        let location = match self.registrar.find(&route, &query, offset).await? {
            Found::Here(response) => return Ok((response, None)),
            Found::Elsewhere(location) if source == Source::Anybody => location,
            Found::Elsewhere(location) => return Err(FetchError::Peer { peer: location }),
        };
        match self.peers.ask(&location, record, offset).await {
            Ok((peer, response)) => Ok((response, Some(peer))),
            Err(error) => {
                tracing::debug!("{location} does not help: {}", Chain(&error));
                Err(FetchError::Peer { peer: location })
            }
        }
    }

    /// Removes what is left of fetches where nothing is to be fetched.
    pub(super) async fn clear(&self) {
        self.sweep(&self.dir).await;
    }

    async fn download(
        &mut self,
        record: &DeltaRecord,
        path: &Path,
        source: Source,
    ) -> Result<(), FetchError> {
        let failed = |source| FetchError::Io { path: path.to_owned(), source };
        let mut file = File::options().create(true).append(true).open(path).await.map_err(failed)?;
        let here = file.seek(io::SeekFrom::End(0)).await.map_err(failed)?;
        if here == record.bytes {
            return Ok(());
        }
        let offset = if here < record.bytes { here } else { 0 };
        let (response, peer) = self.open(record, offset, source).await?;
        let start = if response.status() == StatusCode::PARTIAL_CONTENT { offset } else { 0 };
        file.set_len(start).await.map_err(failed)?;
        let appended = match &peer {
            None => append(response, &mut file, start, record, path, REGISTRAR_STALL).await,
            Some(peer) => {
                self.helped = Some((record.digest.clone(), peer.clone()));
                let appending = append(response, &mut file, start, record, path, peers::STALL);
                self.append_in_time(peer, record, appending).await
            }
        };
        // What is buffered must be in the file before anyone looks at its length again.
        file.flush().await.map_err(failed)?;
        appended.map(drop)
    }

    /// What a peer sends must come soon, or be had elsewhere.
    async fn append_in_time(
        &mut self,
        peer: &Peer,
        record: &DeltaRecord,
        appending: impl Future<Output = Result<u64, FetchError>>,
    ) -> Result<u64, FetchError> {
        match timeout_at(peers::deadline(record.bytes), appending).await {
            Ok(Err(FetchError::Broken { .. })) | Err(_) => {
                self.peers.quarantine(peer, &PeerError::Slow);
                Err(FetchError::Peer { peer: peer.to_string() })
            }
            Ok(done) => done.inspect(|bytes| self.metrics.fetched_from_peer(*bytes)),
        }
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

async fn verified(record: &DeltaRecord, path: &Path) -> Result<(), FetchError> {
    match bootstash_delta::verify(path, record).await {
        Ok(_) => Ok(()),
        Err(source) => {
            discard(path).await;
            Err(FetchError::Damaged { file: record.file.clone(), source })
        }
    }
}

async fn append(
    mut response: Response,
    file: &mut File,
    start: u64,
    record: &DeltaRecord,
    path: &Path,
    stall: Duration,
) -> Result<u64, FetchError> {
    let mut here = start;
    // A longer answer than announced ends here too, and is then refused for its digest.
    while here < record.bytes {
        let Ok(chunk) = timeout(stall, response.chunk()).await else {
            return Err(broken(record, here, None));
        };
        match chunk {
            Ok(Some(chunk)) => {
                let room = usize::try_from(record.bytes - here).unwrap_or(usize::MAX);
                let part = &chunk[..chunk.len().min(room)];
                let failed = |source| FetchError::Io { path: path.to_owned(), source };
                file.write_all(part).await.map_err(failed)?;
                kill_point(KillPoint::FetchAppending);
                here += part.len() as u64;
            }
            Ok(None) => return Err(broken(record, here, None)),
            Err(source) => return Err(broken(record, here, Some(source.without_url()))),
        }
    }
    Ok(here - start)
}

fn broken(record: &DeltaRecord, at_bytes: u64, source: Option<reqwest::Error>) -> FetchError {
    FetchError::Broken { file: record.file.clone(), at_bytes, bytes: record.bytes, source }
}

/// The digest is the name here: two tries for one content meet, and those for others do not.
fn local_name(record: &DeltaRecord) -> Result<&str, FetchError> {
    let plain = record.file.starts_with(|c: char| c.is_ascii_alphanumeric())
        && record.file.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    let hex = record.digest.len() == 64 && record.digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    if plain && hex {
        return Ok(&record.digest);
    }
    Err(FetchError::Announcement { file: record.file.clone(), digest: record.digest.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bootstash_base::names::{Guid, SnapshotName};

    #[test]
    fn announced_names_cannot_leave_the_directory() {
        let record = |file: &str, digest: &str| DeltaRecord {
            file: file.to_owned(),
            from: None,
            to: Guid::new(1),
            to_name: SnapshotName::new(1, chrono::DateTime::UNIX_EPOCH),
            bytes: 1,
            digest: digest.to_owned(),
        };
        let digest = "ab".repeat(32);
        assert_eq!(local_name(&record("1-2.bsd", &digest)).unwrap(), digest);
        for file in ["../x", "/etc/passwd", "a?b", "", ".", "a%2fb"] {
            assert!(local_name(&record(file, &digest)).is_err(), "{file}");
        }
        for digest in ["", "../../etc/passwd", &"/".repeat(64)] {
            assert!(local_name(&record("1-2.bsd", digest)).is_err(), "{digest}");
        }
    }
}
