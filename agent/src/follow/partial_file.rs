//! A delta file as far as it has been fetched.
//!
//! Promises: its name here is its digest, so that two tries for one content meet and those for others do not; it never
//! grows beyond its announced length, whatever is sent; memory does not grow with it.

use super::fetch::discard;
use super::fetch_error::FetchError;
use bootstash_base::kill_point::{KillPoint, kill_point};
use bootstash_delta::DeltaRecord;
use reqwest::{Response, StatusCode};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::fs::File;
use tokio::io::{AsyncSeekExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

/// When a download is given up.
#[derive(Clone, Copy, Debug)]
pub(super) struct DownloadTimeouts {
    /// The longest without a byte.
    pub(super) stall: Duration,
    /// When all of it must be here.
    pub(super) deadline: Option<Instant>,
}

impl DownloadTimeouts {
    /// Any time in all, but no longer than this without a byte.
    pub(super) fn stall(stall: Duration) -> Self {
        Self { stall, deadline: None }
    }
}

/// The file of an announced delta, whole or not, or not there at all.
#[derive(Debug)]
pub(super) struct PartialFile<'a> {
    record: &'a DeltaRecord,
    path: PathBuf,
}

impl<'a> PartialFile<'a> {
    /// The file in `dir`.
    pub(super) fn of(record: &'a DeltaRecord, dir: &Path) -> Result<Self, FetchError> {
        Ok(Self { record, path: dir.join(local_name(record)?) })
    }

    pub(super) fn record(&self) -> &'a DeltaRecord {
        self.record
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn exists(&self) -> bool {
        self.path.exists()
    }

    /// How many bytes of it are here.
    pub(super) async fn length(&self) -> Result<u64, FetchError> {
        match tokio::fs::metadata(&self.path).await {
            Ok(metadata) => Ok(metadata.len()),
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(source) => Err(self.io(source)),
        }
    }

    /// Opens it to continue it, and makes it where it is missing; none where nothing is missing of it.
    pub(super) async fn open(&self) -> Result<Option<OpenFile<'_>>, FetchError> {
        let opened = File::options().create(true).append(true).open(&self.path).await;
        let mut file = opened.map_err(|source| self.io(source))?;
        let here = file.seek(io::SeekFrom::End(0)).await.map_err(|source| self.io(source))?;
        // One that is too long is not what was announced: it is begun anew.
        let offset = if here < self.record.bytes { here } else { 0 };
        Ok((here != self.record.bytes).then_some(OpenFile { partial: self, file, offset }))
    }

    /// Whether it is what was announced; it is removed where it is not.
    pub(super) async fn verify(&self) -> Result<(), FetchError> {
        match bootstash_delta::verify(&self.path, self.record).await {
            Ok(_) => Ok(()),
            Err(source) => {
                discard(&self.path).await;
                Err(FetchError::Damaged { file: self.record.file.clone(), source })
            }
        }
    }

    /// A download of it broke off.
    pub(super) fn broken_off(&self, at_bytes: u64, source: Option<reqwest::Error>) -> FetchError {
        FetchError::Broken { file: self.record.file.clone(), at_bytes, bytes: self.record.bytes, source }
    }

    fn io(&self, source: io::Error) -> FetchError {
        FetchError::Io { path: self.path.clone(), source }
    }
}

/// A file that lacks bytes, open to be continued.
#[derive(Debug)]
pub(super) struct OpenFile<'a> {
    partial: &'a PartialFile<'a>,
    file: File,
    offset: u64,
}

impl<'a> OpenFile<'a> {
    pub(super) fn record(&self) -> &'a DeltaRecord {
        self.partial.record
    }

    /// From which byte on it is to be asked for.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Appends the answer to a request from [`Self::offset`] on, until the file is whole. Gives the bytes appended.
    pub(super) async fn append(
        mut self,
        response: Response,
        timeouts: DownloadTimeouts,
    ) -> Result<u64, FetchError> {
        let honoured = response.status() == StatusCode::PARTIAL_CONTENT;
        let start = if honoured { self.offset } else { 0 };
        self.file.set_len(start).await.map_err(|source| self.partial.io(source))?;
        let mut here = start;
        let copied = match timeouts.deadline {
            None => self.copy(response, &mut here, timeouts.stall).await,
            Some(deadline) => {
                match timeout_at(deadline, self.copy(response, &mut here, timeouts.stall)).await {
                    Ok(copied) => copied,
                    Err(_) => Err(self.partial.broken_off(here, None)),
                }
            }
        };
        // What is buffered must be in the file before anyone looks at its length again.
        self.file.flush().await.map_err(|source| self.partial.io(source))?;
        copied.map(|()| here - start)
    }

    async fn copy(
        &mut self,
        mut response: Response,
        here: &mut u64,
        stall: Duration,
    ) -> Result<(), FetchError> {
        let partial = self.partial;
        // A longer answer than announced ends here too, and is then refused for its digest.
        while *here < partial.record.bytes {
            let Ok(chunk) = timeout(stall, response.chunk()).await else {
                return Err(partial.broken_off(*here, None));
            };
            let chunk = match chunk {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return Err(partial.broken_off(*here, None)),
                Err(source) => return Err(partial.broken_off(*here, Some(source.without_url()))),
            };
            let room = usize::try_from(partial.record.bytes - *here).unwrap_or(usize::MAX);
            let part = &chunk[..chunk.len().min(room)];
            self.file.write_all(part).await.map_err(|source| partial.io(source))?;
            kill_point(KillPoint::FetchAppending);
            *here += part.len() as u64;
        }
        Ok(())
    }
}

/// The digest. What the registrar announces must not lead out of the directory, or to another route.
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
