//! Removing the file of an overlay, then its record.

use super::lease::LeaseError;
use super::{AccessError, Overlays, canonical_path, qemu_lock};
use crate::volume::Stopping;
use bootstash_base::error::Classified;
use bootstash_base::impersonate::{ActAs, UnixPeer, User};
use bootstash_base::kill_point::{KillPoint, kill_point};
use bootstash_base::names::SnapshotName;
use bootstash_base::quoted_path::shown;
use bootstash_qemu::InUse;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// How long the storage of an overlay may take to let go of it.
const DEADLINE: Duration = Duration::from_secs(20);

/// An overlay was not removed.
#[derive(Debug, Error, Classified)]
pub enum RemoveOverlayError {
    /// There is a file, which is none of ours.
    #[error("{} is no overlay that was made here, and so it is not removed", shown(.path))]
    #[class(permanent)]
    Foreign {
        /// The file, by its path.
        path: PathBuf,
    },
    /// It cannot be looked at.
    #[error(transparent)]
    #[class(source)]
    Access(#[from] AccessError),
    /// The caller may not.
    #[error("{user} may not remove {}; ask as a user who may, or as root", shown(.path))]
    #[class(permanent)]
    NotAllowed {
        /// Who asked.
        user: User,
        /// The overlay.
        path: PathBuf,
    },
    /// A VM has it open.
    #[error("{} is open in a running VM; stop that first", shown(.path))]
    #[class(busy)]
    InUse {
        /// The overlay.
        path: PathBuf,
    },
    /// The overlay's file cannot be removed.
    #[error("cannot remove {}", shown(.path))]
    #[class(operator)]
    Io {
        /// The overlay.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The record.
    #[error(transparent)]
    #[class(source)]
    Lease(#[from] LeaseError),
    /// The agent stops.
    #[error(transparent)]
    #[class(cancelled)]
    Stopping(#[from] Stopping),
}

impl Overlays {
    /// Removes the overlay at this path, if there is one: the file, as far as the caller may, then its record, which is still
    /// to be forgotten. Returns the snapshot whose view it chained onto.
    pub(in crate::volume) async fn remove(
        &self,
        by: UnixPeer,
        path: &Path,
    ) -> Result<Option<SnapshotName>, RemoveOverlayError> {
        let Some(lease) = self.leases.get(path) else {
            return match self
                .access(by, path, DEADLINE, |path, act_as| {
                    act_as.act(|| path.symlink_metadata().is_ok()).map_err(AccessError::rights)
                })
                .await?
            {
                true => Err(RemoveOverlayError::Foreign { path: path.to_owned() }),
                false => Ok(None),
            };
        };
        let snapshot = lease.overlay.snapshot.clone();
        self.access(by, path, DEADLINE, remove_file).await?;
        kill_point(KillPoint::OverlayRemoved);
        self.leases.erase(path).await?;
        kill_point(KillPoint::LeaseRemoved);
        tracing::info!("removed overlay {}", shown(path));
        Ok(Some(snapshot))
    }

    /// Takes note that the record of an overlay was removed.
    pub(in crate::volume) fn forget(&mut self, path: &Path) {
        self.leases.forget(path);
    }

    /// As it stands on record, if it does: then nothing needs to be looked up.
    pub(in crate::volume) async fn real_path(
        &self,
        by: UnixPeer,
        given: &Path,
    ) -> Result<PathBuf, RemoveOverlayError> {
        if self.leases.get(given).is_some() {
            return Ok(given.to_owned());
        }
        let resolve = |path: &Path, act_as: &ActAs| {
            act_as.act(|| canonical_path::canonical(path)).map_err(AccessError::rights)
        };
        let resolved = self.access(by, given, DEADLINE, resolve).await?;
        Ok(resolved.unwrap_or_else(|| given.to_owned()))
    }
}

/// What is there is found and removed with the caller's rights; whether a VM has it open, we can tell also
/// where the caller may not read it.
fn remove_file(path: &Path, act_as: &ActAs) -> Result<(), RemoveOverlayError> {
    let failed = |source| not_removed(path, act_as, source);
    match act_as.act(|| qemu_lock::open_path(path)).and_then(|found| found) {
        // Where nobody can tell, who asks is believed.
        Ok(found) if qemu_lock::in_use_of(&found).map_err(failed)? == InUse::Yes => {
            Err(RemoveOverlayError::InUse { path: path.to_owned() })
        }
        Ok(_) => act_as.act(|| std::fs::remove_file(path)).and_then(|done| done).map_err(failed),
        Err(error) if error.kind() == io::ErrorKind::NotFound => forget(path, act_as).map_err(failed),
        Err(error) => Err(failed(error)),
    }
}

/// A file that is gone may have been moved, and its view be in use: only who could have removed it ends that.
fn forget(path: &Path, act_as: &ActAs) -> io::Result<()> {
    if *act_as == ActAs::Ours {
        return Ok(());
    }
    let directory = path.parent().unwrap_or(Path::new("/"));
    act_as.act(|| tempfile::tempfile_in(directory).map(drop)).and_then(|made| made)
}

fn not_removed(path: &Path, act_as: &ActAs, source: io::Error) -> RemoveOverlayError {
    let path = path.to_owned();
    match act_as {
        ActAs::Of(user) if source.kind() == io::ErrorKind::PermissionDenied => {
            RemoveOverlayError::NotAllowed { user: user.clone(), path }
        }
        _ => RemoveOverlayError::Io { path, source },
    }
}
