//! Job records on disk: `jobs/<number>.json`, replaced as a whole.

use super::{JobId, JobRecord};
use bootstash_base::files::replace_file;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

type WriteFile = dyn Fn(&Path, &[u8]) -> io::Result<()> + Send;

/// The directory of the records. Its methods block for as long as the disk takes.
pub struct JobStore {
    dir: PathBuf,
    write: Box<WriteFile>,
}

impl fmt::Debug for JobStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobStore").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// A record could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep the record of a registration in {}", .path.display())]
pub struct StoreError {
    path: PathBuf,
    source: io::Error,
}

impl JobStore {
    /// The records in `dir`, which exists.
    pub fn new(dir: PathBuf) -> Self {
        Self::writing_with(dir, replace_file)
    }

    /// The same on a disk that writes so.
    pub(crate) fn writing_with(
        dir: PathBuf,
        write: impl Fn(&Path, &[u8]) -> io::Result<()> + Send + 'static,
    ) -> Self {
        Self { dir, write: Box::new(write) }
    }

    /// All records, in order of number.
    ///
    /// # Errors
    /// When the directory or a record cannot be read.
    pub fn load(&self) -> Result<Vec<JobRecord>, StoreError> {
        let at = |path: &Path, source| StoreError { path: path.to_owned(), source };
        let mut records = Vec::new();
        for entry in std::fs::read_dir(&self.dir).map_err(|source| at(&self.dir, source))? {
            let path = entry.map_err(|source| at(&self.dir, source))?.path();
            if path.extension().is_some_and(|ending| ending == "json") {
                let bytes = std::fs::read(&path).map_err(|source| at(&path, source))?;
                records.push(serde_json::from_slice(&bytes).map_err(|source| at(&path, source.into()))?);
            }
        }
        records.sort_by_key(|record: &JobRecord| record.id);
        Ok(records)
    }

    /// Writes a record through to the disk.
    ///
    /// # Errors
    /// When it cannot be written; the record on disk is then the one before.
    pub fn save(&self, record: &JobRecord) -> Result<(), StoreError> {
        let path = self.path(record.id);
        let json = serde_json::to_vec_pretty(record).map_err(io::Error::from);
        json.and_then(|json| (self.write)(&path, &json)).map_err(|source| StoreError { path, source })
    }

    /// Forgets a record.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&self, id: JobId) -> Result<(), StoreError> {
        let path = self.path(id);
        std::fs::remove_file(&path).map_err(|source| StoreError { path, source })
    }

    fn path(&self, id: JobId) -> PathBuf {
        self.dir.join(format!("{id}.json"))
    }
}
