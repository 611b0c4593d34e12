//! Fetching a delta file: by range from where an earlier try ended, verified when whole.
//!
//! Promises: memory does not grow with the file; what is handed out is byte for byte what was
//! announced; a file that is not is gone afterwards.

use bootstash::api::{CallError, Client, DeltaRecord, routes};
use bootstash::delta::{self, DeltaReadError};
use bootstash::fault::{Fault, FaultKind};
use reqwest::{Response, StatusCode};
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;
use tokio::fs::File;
use tokio::io::{AsyncSeekExt, AsyncWriteExt};

/// A delta could not be fetched.
#[derive(Debug, Error)]
pub enum FetchError {
    /// What the registrar announced cannot be.
    #[error("the registrar announced a delta file {file:?} with digest {digest:?}, which are no such names")]
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
    /// The disk.
    #[error("cannot write {}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what was announced.
    #[error("what the registrar sent as {file} is not what it announced")]
    Damaged {
        /// The file.
        file: String,
        /// How it differs.
        source: DeltaReadError,
    },
}

impl Fault for FetchError {
    fn kind(&self) -> FaultKind {
        match self {
            Self::Announcement { .. } => FaultKind::Permanent,
            Self::Call(error) => error.kind(),
            Self::Broken { .. } => FaultKind::Transient,
            Self::Io { .. } => FaultKind::Operator,
            Self::Damaged { source, .. } => source.kind(),
        }
    }
}

/// Fetches into one directory, one file at a time.
#[derive(Clone, Debug)]
pub(super) struct Fetcher {
    registrar: Client,
    dir: PathBuf,
}

impl Fetcher {
    pub(super) fn new(registrar: Client, dir: PathBuf) -> Self {
        Self { registrar, dir }
    }

    /// The verified file of `record`. Goes on where an earlier try ended; discard it when done.
    pub(super) async fn fetch(&self, record: &DeltaRecord) -> Result<PathBuf, FetchError> {
        let path = self.dir.join(local_name(record)?);
        self.sweep(&path).await;
        self.download(record, &path).await?;
        match delta::verify(&path, record).await {
            Ok(_) => Ok(path),
            Err(source) => {
                discard(&path).await;
                Err(FetchError::Damaged { file: record.file.clone(), source })
            }
        }
    }

    /// Removes all that was fetched: in step, nothing of it is asked for again.
    pub(super) async fn clear(&self) {
        self.sweep(Path::new("")).await;
    }

    async fn download(&self, record: &DeltaRecord, path: &Path) -> Result<(), FetchError> {
        let failed = |source| FetchError::Io { path: path.to_owned(), source };
        let mut file = File::options().create(true).append(true).open(path).await.map_err(failed)?;
        let here = file.seek(io::SeekFrom::End(0)).await.map_err(failed)?;
        if here == record.bytes {
            return Ok(());
        }
        let offset = if here < record.bytes { here } else { 0 };
        let route = format!("{}/{}", routes::DELTAS, record.file);
        let response = self.registrar.download(&route, offset).await?;
        let start = if response.status() == StatusCode::PARTIAL_CONTENT { offset } else { 0 };
        file.set_len(start).await.map_err(failed)?;
        let appended = append(response, &mut file, start, record, path).await;
        // What is buffered must be in the file before anyone looks at its length again.
        file.flush().await.map_err(failed)?;
        appended
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

async fn append(
    mut response: Response,
    file: &mut File,
    start: u64,
    record: &DeltaRecord,
    path: &Path,
) -> Result<(), FetchError> {
    let mut here = start;
    // A longer answer than announced ends here too, and is then refused for its digest.
    while here < record.bytes {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                let room = usize::try_from(record.bytes - here).unwrap_or(usize::MAX);
                let part = &chunk[..chunk.len().min(room)];
                let failed = |source| FetchError::Io { path: path.to_owned(), source };
                file.write_all(part).await.map_err(failed)?;
                here += part.len() as u64;
            }
            Ok(None) => return Err(broken(record, here, None)),
            Err(source) => return Err(broken(record, here, Some(source.without_url()))),
        }
    }
    Ok(())
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
    use bootstash::names::{Guid, SnapshotName};

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
