//! The record of each overlay on disk: what keeps a view alive across restarts.
//!
//! Promises: a record is on disk, whole and synced, before its overlay exists, and goes only after it;
//! a crash in between leaves a record too many, never one too few.

use bootstash::api::OverlayView;
use bootstash::fault::{Fault, FaultKind};
use bootstash::lifecycle::{KillPoint, kill_point};
use bootstash::names::SnapshotName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Whether the overlay of a record was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Stage {
    /// It is about to be.
    Intended,
    /// It was.
    Made,
}

/// The record of one overlay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lease {
    /// How far it came.
    pub stage: Stage,
    /// The overlay.
    pub overlay: OverlayView,
}

/// A record could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The file or its directory.
    #[error("cannot access the overlay record {}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is in it. Going on without it could remove the view a VM runs on.
    #[error(
        "the overlay record {} cannot be read; restore it from a backup, or remove it if no VM uses that overlay",
        .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

impl Fault for LeaseError {
    fn kind(&self) -> FaultKind {
        FaultKind::Operator
    }
}

/// All records, in memory as on disk.
#[derive(Debug)]
pub(super) struct Leases {
    dir: PathBuf,
    by_path: BTreeMap<PathBuf, Lease>,
}

impl Leases {
    /// Reads the records in `dir`. Those of overlays that were never made are dropped: nobody was
    /// told of them.
    ///
    /// # Errors
    /// See [`LeaseError`].
    pub(super) fn load(dir: &Path) -> Result<Self, LeaseError> {
        let mut leases = Self { dir: dir.to_owned(), by_path: BTreeMap::new() };
        for file in record_files(dir)? {
            let lease = read(&file)?;
            if lease.stage == Stage::Intended && lease.overlay.path.symlink_metadata().is_err() {
                remove_file(&file)?;
            } else {
                leases.by_path.insert(lease.overlay.path.clone(), lease);
            }
        }
        Ok(leases)
    }

    /// Writes a record, replacing that of the same path.
    ///
    /// # Errors
    /// See [`LeaseError`]; the record is then as it was.
    pub(super) fn put(&mut self, lease: Lease) -> Result<(), LeaseError> {
        let file = self.file_of(&lease.overlay.path);
        write(&self.dir, &file, &lease).map_err(|source| LeaseError::Io { path: file, source })?;
        self.by_path.insert(lease.overlay.path.clone(), lease);
        Ok(())
    }

    /// Removes a record, if there is one.
    ///
    /// # Errors
    /// See [`LeaseError`].
    pub(super) fn remove(&mut self, overlay: &Path) -> Result<(), LeaseError> {
        if self.by_path.contains_key(overlay) {
            remove_file(&self.file_of(overlay))?;
            self.by_path.remove(overlay);
        }
        Ok(())
    }

    /// The record of the overlay at this path.
    pub(super) fn get(&self, overlay: &Path) -> Option<&Lease> {
        self.by_path.get(overlay)
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
        if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        } else {
            // A record that a crash left half written.
            remove_file(&path)?;
        }
    }
    Ok(files)
}

fn read(path: &Path) -> Result<Lease, LeaseError> {
    let bytes = fs::read(path).map_err(|source| LeaseError::Io { path: path.to_owned(), source })?;
    serde_json::from_slice(&bytes).map_err(|source| LeaseError::Damaged { path: path.to_owned(), source })
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

    fn lease(path: PathBuf, stage: Stage) -> Lease {
        let overlay = OverlayView {
            path,
            image: "debian12".parse().unwrap(),
            snapshot: "bs-000001-20261121T101530Z".parse().unwrap(),
            cache: "/views/x/cache.qcow2".into(),
            virtual_size_bytes: 1 << 30,
            created: "2026-11-21T10:20:00Z".parse().unwrap(),
        };
        Lease { stage, overlay }
    }

    #[test]
    fn outlives_a_restart_and_goes_when_removed() {
        let dir = tempfile::tempdir().unwrap();
        let mut leases = Leases::load(dir.path()).unwrap();
        let made = lease("/vms/ a\n.qcow2".into(), Stage::Made);
        leases.put(made.clone()).unwrap();
        let mut again = Leases::load(dir.path()).unwrap();
        assert_eq!(again.get(&made.overlay.path), Some(&made));
        assert!(again.uses(&made.overlay.snapshot));
        again.remove(&made.overlay.path).unwrap();
        assert_eq!(Leases::load(dir.path()).unwrap().overlays().count(), 0);
    }

    #[test]
    fn intended_overlay_counts_only_if_it_came_to_be() {
        let dir = tempfile::tempdir().unwrap();
        let there = dir.path().join("there.json.qcow2");
        let records = dir.path().join("records");
        fs::create_dir(&records).unwrap();
        fs::write(&there, "").unwrap();
        let mut leases = Leases::load(&records).unwrap();
        leases.put(lease(there.clone(), Stage::Intended)).unwrap();
        leases.put(lease(dir.path().join("not-there"), Stage::Intended)).unwrap();
        leases.put(lease(dir.path().join("unmounted"), Stage::Made)).unwrap();
        let paths: Vec<_> =
            Leases::load(&records).unwrap().overlays().map(|overlay| overlay.path.clone()).collect();
        assert_eq!(paths, [there, dir.path().join("unmounted")]);
    }

    #[test]
    fn half_written_record_is_swept_and_a_damaged_one_stops() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(".tmpx.new"), "{").unwrap();
        Leases::load(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        let damaged = dir.path().join("x.json");
        fs::write(&damaged, "{").unwrap();
        let error = Leases::load(dir.path()).unwrap_err();
        assert!(error.to_string().contains(damaged.to_str().unwrap()), "{error}");
    }
}
