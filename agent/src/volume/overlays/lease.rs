//! The record of each overlay on disk: what keeps a view alive across restarts.
//!
//! Promises: a record is on disk, whole and synced, before its overlay exists, and goes only after it;
//! a crash in between leaves a record too many, never one too few. No overlay is looked at here.

use bootstash_base::error::Classified;
use bootstash_base::kill_point::{KillPoint, kill_point};
use bootstash_base::names::SnapshotName;
use bootstash_base::quoted_path::shown;
use bootstash_net::api::OverlayView;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How a damaged record's file ends once its overlay has another.
const ASIDE: &str = "damaged";

/// Whether the overlay of a record was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// It is about to be.
    Intended,
    /// It was.
    Made,
}

/// The record of one overlay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// How far it came.
    pub stage: Stage,
    /// The overlay.
    pub overlay: OverlayView,
    /// Where the storage is mounted that holds it. Other storage at its path says nothing of it.
    #[serde(default, with = "bootstash_base::quoted_path::option")]
    pub mount_point: Option<PathBuf>,
    /// Since when its file is known to be gone.
    #[serde(default)]
    pub missing_since: Option<DateTime<Utc>>,
    /// Its view is held for a disk that somebody else chains onto it and off again, until it is unpinned.
    #[serde(default)]
    pub pinned: bool,
}

/// A record whose content makes no sense.
#[derive(Debug)]
pub(in crate::volume) struct DamagedRecord {
    path: PathBuf,
    source: serde_json::Error,
}

impl From<DamagedRecord> for LeaseError {
    fn from(record: DamagedRecord) -> Self {
        Self::Damaged { path: record.path, source: record.source }
    }
}

/// A record could not be read or written.
#[derive(Debug, thiserror::Error, Classified)]
#[class(operator)]
pub enum LeaseError {
    /// The file or its directory.
    #[error("cannot access the overlay record {}", shown(.path))]
    Io {
        /// The file, by its path.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// What is in it. Going on without it could remove the view a VM runs on.
    #[error(
        "the overlay record {} cannot be read; restore it from a backup, or remove it if no VM uses that overlay",
        shown(.path)
    )]
    Damaged {
        /// The file, by its path.
        path: PathBuf,
        /// The error that caused it.
        source: serde_json::Error,
    },
}

/// Records, by path of the overlay. Each is shared with who looks at it.
pub(in crate::volume) type Records = BTreeMap<PathBuf, Arc<Lease>>;

/// All records, in memory as on disk.
#[derive(Debug)]
pub(super) struct Leases {
    dir: PathBuf,
    by_path: Records,
}

impl Leases {
    /// Reads the records in `dir`, and which of them are damaged.
    ///
    /// # Errors
    /// See [`LeaseError`].
    pub(super) fn load(dir: &Path) -> Result<(Self, Vec<DamagedRecord>), LeaseError> {
        let (mut by_path, mut damaged) = (BTreeMap::new(), Vec::new());
        for path in record_files(dir)? {
            let bytes = fs::read(&path).map_err(|source| LeaseError::Io { path: path.clone(), source })?;
            match serde_json::from_slice::<Lease>(&bytes) {
                Ok(lease) => drop(by_path.insert(lease.overlay.path.clone(), Arc::new(lease))),
                Err(source) => damaged.push(DamagedRecord { path, source }),
            }
        }
        Ok((Self { dir: dir.to_owned(), by_path }, damaged))
    }

    /// Renames a damaged record if it is that of an overlay that was found: from its file it can be
    /// written anew.
    ///
    /// # Errors
    /// [`LeaseError::Damaged`] where it is of none of them.
    pub(super) fn set_aside(&self, record: DamagedRecord, found: &[Lease]) -> Result<(), LeaseError> {
        let Some(lease) = found.iter().find(|lease| self.file_of(&lease.overlay.path) == record.path) else {
            return Err(record.into());
        };
        let aside = record.path.with_extension(ASIDE);
        fs::rename(&record.path, &aside)
            .map_err(|source| LeaseError::Io { path: record.path.clone(), source })?;
        tracing::error!(
            "the record of overlay {} was damaged ({}) and is written anew from the overlay's file; \
             the damaged one is kept as {}",
            shown(&lease.overlay.path),
            record.source,
            shown(&aside)
        );
        Ok(())
    }

    /// Writes a record, replacing that of the same path.
    ///
    /// # Errors
    /// See [`LeaseError`]; the record is then as it was.
    pub(super) async fn put(&mut self, lease: Lease) -> Result<(), LeaseError> {
        self.write(&lease).await?;
        self.note(lease);
        Ok(())
    }

    /// The same on disk alone: for several at a time, each then to be noted.
    pub(super) async fn write(&self, lease: &Lease) -> Result<(), LeaseError> {
        let (dir, file, record) = (self.dir.clone(), self.file_of(&lease.overlay.path), lease.clone());
        let path = file.clone();
        let written = off_runtime(move || write(&dir, &file, &record)).await;
        written.map_err(|source| LeaseError::Io { path, source })
    }

    /// What was written is what holds.
    pub(super) fn note(&mut self, lease: Lease) {
        self.by_path.insert(lease.overlay.path.clone(), Arc::new(lease));
    }

    /// Removes a record, if there is one.
    ///
    /// # Errors
    /// See [`LeaseError`].
    pub(super) async fn remove(&mut self, overlay: &Path) -> Result<(), LeaseError> {
        if self.by_path.contains_key(overlay) {
            self.erase(overlay).await?;
            self.forget(overlay);
        }
        Ok(())
    }

    /// The same on disk alone: for several at a time, each then to be forgotten.
    pub(super) async fn erase(&self, overlay: &Path) -> Result<(), LeaseError> {
        let file = self.file_of(overlay);
        let path = file.clone();
        let removed = off_runtime(move || Ok(remove_file(&file))).await;
        removed.map_err(|source| LeaseError::Io { path, source })?
    }

    /// What was erased holds no more.
    pub(super) fn forget(&mut self, overlay: &Path) {
        self.by_path.remove(overlay);
    }

    /// The record of the overlay at this path.
    pub(super) fn get(&self, overlay: &Path) -> Option<&Lease> {
        self.by_path.get(overlay).map(Arc::as_ref)
    }

    /// All records, by path of the overlay.
    pub(super) fn all(&self) -> &Records {
        &self.by_path
    }

    /// The overlays, in order of path.
    pub(super) fn overlays(&self) -> impl Iterator<Item = &OverlayView> {
        self.by_path.values().map(|lease| &lease.overlay)
    }

    /// Whether an overlay chains onto the view of this snapshot.
    pub(super) fn uses(&self, snapshot: &SnapshotName) -> bool {
        self.overlays().any(|overlay| overlay.snapshot == *snapshot)
    }

    /// A path can be longer than a file name and hold any byte: its hash cannot.
    fn file_of(&self, overlay: &Path) -> PathBuf {
        let hash = blake3::hash(overlay.as_os_str().as_encoded_bytes()).to_hex();
        self.dir.join(format!("{}.json", &hash[..32]))
    }
}

fn record_files(dir: &Path) -> Result<Vec<PathBuf>, LeaseError> {
    let io_error = |source| LeaseError::Io { path: dir.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(io_error)? {
        let path = entry.map_err(io_error)?.path();
        match path.extension().and_then(OsStr::to_str) {
            Some("json") => files.push(path),
            Some(ASIDE) => (),
            // A record that a crash left half written.
            _ => remove_file(&path)?,
        }
    }
    Ok(files)
}

/// A sync can take as long as the disk is busy: no worker of the runtime waits for it.
async fn off_runtime<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|broken| Err(io::Error::other(broken)))
}

fn write(dir: &Path, path: &Path, lease: &Lease) -> io::Result<()> {
    let mut file = tempfile::Builder::new().suffix(".new").tempfile_in(dir)?;
    file.write_all(&serde_json::to_vec_pretty(lease)?)?;
    file.as_file().sync_all()?;
    kill_point(KillPoint::LeaseWritten);
    file.persist(path).map_err(|error| error.error)?;
    File::open(dir)?.sync_all()
}

fn remove_file(path: &Path) -> Result<(), LeaseError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(LeaseError::Io { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(dir: &Path) -> Leases {
        let (leases, damaged) = Leases::load(dir).unwrap();
        assert!(damaged.is_empty(), "{damaged:?}");
        leases
    }

    fn lease(path: PathBuf, stage: Stage) -> Lease {
        let overlay = OverlayView {
            path,
            image: "debian12".parse().unwrap(),
            snapshot: "bs-000001-20261121T101530Z".parse().unwrap(),
            cache: "/views/x/cache.qcow2".into(),
            virtual_size_bytes: 1 << 30,
            created: "2026-11-21T10:20:00Z".parse().unwrap(),
            firmware: None,
        };
        Lease { stage, overlay, mount_point: None, missing_since: None, pinned: false }
    }

    #[tokio::test]
    async fn outlives_a_restart_and_goes_when_removed() {
        let dir = tempfile::tempdir().unwrap();
        let mut leases = load(dir.path());
        let made = lease("/vms/ a\n.qcow2".into(), Stage::Made);
        leases.put(made.clone()).await.unwrap();
        let mut again = load(dir.path());
        assert_eq!(again.get(&made.overlay.path), Some(&made));
        assert!(again.uses(&made.overlay.snapshot));
        again.remove(&made.overlay.path).await.unwrap();
        assert_eq!(load(dir.path()).overlays().count(), 0);
    }

    #[test]
    fn records_of_earlier_versions_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let lease = lease("/vms/a.qcow2".into(), Stage::Made);
        let mut record = serde_json::to_value(&lease).unwrap();
        for later in ["mount_point", "missing_since"] {
            record.as_object_mut().unwrap().remove(later).unwrap();
        }
        fs::write(dir.path().join("x.json"), record.to_string()).unwrap();
        assert_eq!(load(dir.path()).get(&lease.overlay.path), Some(&lease));
    }

    #[test]
    fn half_written_record_is_swept_and_a_damaged_one_is_told() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(".tmpx.new"), "{").unwrap();
        load(dir.path());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        let file = dir.path().join("x.json");
        fs::write(&file, "{").unwrap();
        let (leases, mut damaged) = Leases::load(dir.path()).unwrap();
        let error = leases.set_aside(damaged.pop().unwrap(), &[]).unwrap_err();
        assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
        assert!(file.exists());
    }

    #[tokio::test]
    async fn damaged_record_of_an_overlay_that_is_there_is_set_aside_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let lease = lease("/vms/a.qcow2".into(), Stage::Made);
        let mut leases = load(dir.path());
        leases.put(lease.clone()).await.unwrap();
        let file = leases.file_of(&lease.overlay.path);
        fs::write(&file, "{").unwrap();
        let (leases, mut damaged) = Leases::load(dir.path()).unwrap();
        leases.set_aside(damaged.pop().unwrap(), &[lease]).unwrap();
        assert!(!file.exists());
        assert_eq!(load(dir.path()).overlays().count(), 0);
        assert_eq!(fs::read(file.with_extension("damaged")).unwrap(), b"{");
    }
}
