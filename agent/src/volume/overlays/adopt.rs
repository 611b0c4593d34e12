//! Taking on an overlay that somebody else made: what lies at a path, as a record of it would be.
//!
//! Promises: the file is read with the rights of whoever asked, and never written to.

use super::lease::{Lease, LeaseError};
use super::{AccessError, Overlays, file_state, scan_directory};
use crate::layout::Layout;
use crate::volume::{Stopping, ViewError};
use bootstash_base::error::Classified;
use bootstash_base::impersonate::{ActAs, UnixPeer, User};
use bootstash_base::names::SnapshotName;
use bootstash_base::quoted_path::shown;
use bootstash_disk::qcow2::read_backing;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// How long the storage of an overlay may take to show it.
const DEADLINE: Duration = Duration::from_secs(20);

/// An overlay was not adopted; nothing was changed.
#[derive(Debug, Error, Classified)]
pub enum AdoptOverlayError {
    /// Nothing is there.
    #[error("there is no file {}; give the absolute path of an overlay, as this node sees it", shown(.path))]
    #[class(permanent)]
    NoFile {
        /// What was given.
        path: PathBuf,
    },
    /// It is none of ours.
    #[error(
        "{} {what}, and not onto a boot cache below {}; give an overlay that bootstash made, on a node whose views_dir \
         is the same",
        shown(.path), shown(.views_dir)
    )]
    #[class(permanent)]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it chains onto.
        what: String,
        /// Where boot caches are on this node.
        views_dir: PathBuf,
    },
    /// It cannot be looked at.
    #[error(transparent)]
    #[class(source)]
    Access(#[from] AccessError),
    /// The caller may not.
    #[error("{user} may not read {}; ask as a user who may, or as root", shown(.path))]
    #[class(permanent)]
    NotAllowed {
        /// Who asked.
        user: User,
        /// The overlay.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error("cannot read {}", shown(.path))]
    #[class(operator)]
    Io {
        /// The overlay.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Its boot cache was collected here, or never was here.
    #[error(
        "overlay {} chains onto a boot cache in snapshot {snapshot}, which this node does not have any more, and its \
         VM cannot start here; chain it onto the image itself: {remedy}",
        shown(.path)
    )]
    #[class(operator)]
    Gone {
        /// The overlay.
        path: PathBuf,
        /// Of its boot cache.
        snapshot: SnapshotName,
        /// What to type.
        remedy: String,
    },
    /// The view.
    #[error(transparent)]
    #[class(source)]
    View(#[from] ViewError),
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
    /// The overlay at `given`, as far as the caller may read it.
    pub(in crate::volume) async fn read(
        &self,
        by: UnixPeer,
        given: &Path,
    ) -> Result<Lease, AdoptOverlayError> {
        let layout = self.layout.clone();
        self.access(by, given, DEADLINE, move |path, act_as| read(act_as, path, &layout)).await
    }

    /// Records an overlay; tells whether it was not on record as it is.
    pub(in crate::volume) async fn record(&mut self, lease: Lease) -> Result<bool, LeaseError> {
        let overlay = &lease.overlay;
        if self.leases.get(&overlay.path).is_some_and(|known| known.overlay.cache == overlay.cache) {
            return Ok(false);
        }
        let (path, image, snapshot) = (overlay.path.clone(), overlay.image.clone(), overlay.snapshot.clone());
        self.leases.put(lease).await?;
        tracing::info!("adopted overlay {} of {image} on {snapshot}", shown(&path));
        Ok(true)
    }
}

/// Blocks.
fn read(act_as: &ActAs, given: &Path, layout: &Layout) -> Result<Lease, AdoptOverlayError> {
    let read = act_as.act(|| look(given, layout)).map_err(AccessError::rights)?;
    read.map_err(|error| match (error, act_as) {
        (AdoptOverlayError::Io { path, source }, ActAs::Of(user))
            if source.kind() == io::ErrorKind::PermissionDenied =>
        {
            AdoptOverlayError::NotAllowed { user: user.clone(), path }
        }
        (error, _) => error,
    })
}

/// QEMU follows links, and takes its locks on what they lead to: that is what goes on record.
fn look(given: &Path, layout: &Layout) -> Result<Lease, AdoptOverlayError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            AdoptOverlayError::NoFile { path: given.to_owned() }
        }
        _ => AdoptOverlayError::Io { path: given.to_owned(), source },
    };
    let path = Some(given).filter(|given| given.is_absolute()).map(Path::canonicalize);
    let path = path.unwrap_or_else(|| Err(io::ErrorKind::NotFound.into())).map_err(failed)?;
    let directory = path.parent().unwrap_or(Path::new("/"));
    let mount_point = file_state::mount_point(directory).map_err(failed)?;
    match scan_directory::overlay_at(&path, layout, &mount_point).map_err(failed)? {
        Some(lease) => Ok(lease),
        None => {
            let (what, views_dir) = (chained_onto(&path), layout.views_dir.clone());
            Err(AdoptOverlayError::Foreign { path, what, views_dir })
        }
    }
}

fn chained_onto(path: &Path) -> String {
    match read_backing(path) {
        Ok(Some(backed)) => format!("chains onto {}", shown(&backed.backing)),
        _ => "is no qcow2 file that chains onto another".to_owned(),
    }
}
