//! The verbs that need no program, or fewer.

use super::ZettaZfs;
use crate::busy_retry::BusyRetry;
use crate::{ByteStream, DestroyError, Made, Removed, SendError, Snapshot, SnapshotError, Zfs, ZfsFailure};
use bootstash_base::names::{DatasetName, SnapshotName};
use nix::errno::Errno;

impl ZettaZfs {
    pub(super) async fn take_snapshot(
        &self,
        of: &DatasetName,
        name: &SnapshotName,
    ) -> Result<Snapshot, SnapshotError> {
        let failed = |source| SnapshotError::Other { of: of.clone(), name: name.clone(), source };
        let full = format!("{of}@{name}");
        // First, as a full pool refuses even what is there.
        if !self.library.exists(&full).await.map_err(failed)? {
            match self.library.snapshot(&full).await {
                Err(failure) if failure.errno() == Some(Errno::EEXIST) => {}
                Err(failure) => return Err(not_taken(of, name, failure)),
                Ok(()) => {}
            }
        }
        let taken = self.commands.find_snapshot(of, name).await.map_err(failed)?;
        taken.ok_or_else(|| SnapshotError::Missing { of: of.clone(), name: name.clone() })
    }

    pub(super) async fn make_bookmark(
        &self,
        of: &DatasetName,
        name: &SnapshotName,
    ) -> Result<Made, SnapshotError> {
        if !self.capabilities.bookmarks {
            return Ok(Made::Unchanged);
        }
        let failed = |source| SnapshotError::Other { of: of.clone(), name: name.clone(), source };
        let (snapshot, bookmark) = (format!("{of}@{name}"), format!("{of}#{name}"));
        match self.library.bookmark(&snapshot, &bookmark).await {
            Ok(()) => {
                self.commands.drop_other_bookmarks(of, name).await.map_err(failed)?;
                Ok(Made::Created)
            }
            Err(failure) if failure.errno() == Some(Errno::EEXIST) => Ok(Made::Unchanged),
            Err(failure) => Err(not_taken(of, name, failure)),
        }
    }

    pub(super) async fn remove_snapshot(
        &self,
        of: &DatasetName,
        name: &SnapshotName,
    ) -> Result<Removed, DestroyError> {
        let full = format!("{of}@{name}");
        let other = |source| DestroyError::Other { name: full.clone(), source };
        if !self.is_there(of, name).await.map_err(other)? {
            return Ok(Removed::Unchanged);
        }
        let found = self.commands.dataset(of).await.map_err(|error| other(error.source))?;
        let Some(found) = found else { return Ok(Removed::Unchanged) };
        if found.role.is_none() {
            return Err(DestroyError::Foreign { name: full });
        }
        self.destroy_patiently(full).await
    }

    async fn destroy_patiently(&self, name: String) -> Result<Removed, DestroyError> {
        let mut retry = BusyRetry::new(self.limits.busy);
        loop {
            match self.library.destroy_snapshot(&name).await {
                Ok(()) => return Ok(Removed::Removed),
                Err(failure) if failure.errno() == Some(Errno::EBUSY) && retry.again().await => {}
                Err(failure) => return not_removed(name, failure),
            }
        }
    }

    pub(super) async fn start_send(
        &self,
        of: &DatasetName,
        from: Option<&SnapshotName>,
        to: &SnapshotName,
    ) -> Result<ByteStream, SendError> {
        let other = |source| SendError::Other { of: of.clone(), source };
        for snapshot in from.into_iter().chain([to]) {
            if !self.is_there(of, snapshot).await.map_err(other)? {
                return Err(SendError::Missing { of: of.clone(), snapshot: snapshot.clone() });
            }
        }
        let from = from.map(|from| format!("{of}@{from}"));
        self.library.send(from, &format!("{of}@{to}"), self.limits.stall).map_err(other)
    }

    /// A no of the library is none yet: the command tells what is missing from what cannot be read.
    async fn is_there(&self, of: &DatasetName, name: &SnapshotName) -> Result<bool, ZfsFailure> {
        if self.library.exists(&format!("{of}@{name}")).await? {
            return Ok(true);
        }
        Ok(self.commands.find_snapshot(of, name).await?.is_some())
    }
}

fn not_taken(of: &DatasetName, name: &SnapshotName, failure: ZfsFailure) -> SnapshotError {
    let (of, name) = (of.clone(), name.clone());
    match failure.errno() {
        Some(Errno::ENOENT) => SnapshotError::Missing { of, name },
        Some(Errno::ENOSPC | Errno::EDQUOT) => SnapshotError::NoSpace { of, name },
        _ => SnapshotError::Other { of, name, source: failure },
    }
}

fn not_removed(name: String, failure: ZfsFailure) -> Result<Removed, DestroyError> {
    match failure.errno() {
        Some(Errno::ENOENT) => Ok(Removed::Unchanged),
        Some(Errno::EBUSY) => Err(DestroyError::Busy { name }),
        // What the kernel says of a snapshot that has clones.
        Some(Errno::EEXIST) => Err(DestroyError::HasDependents { name }),
        _ => Err(DestroyError::Other { name, source: failure }),
    }
}
