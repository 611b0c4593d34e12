//! The file of an overlay and its record: where it may be, and both made in their order.

use super::lease::{Lease, LeaseError, Stage};
use super::{Overlays, canonical_path, file_state};
use crate::volume::{Stopping, ViewError};
use bootstash_base::error::Classified;
use bootstash_base::impersonate::{ActAs, UnixPeer, User};
use bootstash_base::kill_point::{KillPoint, kill_point};
use bootstash_base::mount_table::MountTable;
use bootstash_base::names::ImageName;
use bootstash_base::quoted_path::shown;
use bootstash_delta::catalog::CatalogError;
use bootstash_disk::{BaseChange, BaseReadError};
use bootstash_net::api::OverlayView;
use bootstash_qemu::OverlayError;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;
use tokio::time::Instant;

/// How long the storage of an overlay may take to say whether there is room for it.
const PLACE_DEADLINE: Duration = Duration::from_secs(10);

/// An overlay was not made; nothing of it is left.
#[derive(Debug, Error, Classified)]
pub enum CreateOverlayError {
    /// Not an absolute path of a file.
    #[error("{} is no absolute path of a file; give one, as /var/lib/vms/a.qcow2", shown(.path))]
    #[class(permanent)]
    Path {
        /// What was given.
        path: PathBuf,
    },
    /// Its storage does not answer.
    #[error("the storage of {} does not answer; try again when it does, or give another path", shown(.path))]
    #[class(transient)]
    Unresponsive {
        /// The overlay.
        path: PathBuf,
    },
    /// What the caller may do is not known.
    #[error("cannot act with your rights; ask as root")]
    #[class(operator)]
    Rights {
        /// What the operating system said.
        source: io::Error,
    },
    /// The caller may not.
    #[error(
        "{user} may not make {}; give a path in a directory where that user may make files, or ask as root",
        shown(.path)
    )]
    #[class(permanent)]
    NotAllowed {
        /// Who asked.
        user: User,
        /// The overlay.
        path: PathBuf,
    },
    /// Its directory.
    #[error("the directory of {} does not exist; create it first", shown(.path))]
    #[class(permanent)]
    NoDirectory {
        /// The overlay.
        path: PathBuf,
    },
    /// Something is there.
    #[error("{} exists; remove it or give another path", shown(.path))]
    #[class(permanent)]
    Exists {
        /// The overlay.
        path: PathBuf,
    },
    /// There is a record, but no file.
    #[error(
        "{} is recorded as an overlay of {image}, though its file is gone; run `bootstash overlay remove` on it first",
        shown(.path)
    )]
    #[class(permanent)]
    Recorded {
        /// The overlay.
        path: PathBuf,
        /// The image of the record.
        image: ImageName,
    },
    /// Nothing was received yet.
    #[error("this node holds no images yet; `bootstash status` tells how far it is")]
    #[class(transient)]
    Empty,
    /// Its manifest cannot be read, or there is no such image.
    #[error(transparent)]
    #[class(source)]
    Catalog(#[from] CatalogError),
    /// Its base is not what it was.
    #[error(
        "the image file {} was changed since {image} was registered ({change}), and no longer fits its boot cache; \
         deregister and register it again",
        shown(.path)
    )]
    #[class(permanent)]
    BaseChanged {
        /// The image, by its registered name.
        image: ImageName,
        /// Its base.
        path: PathBuf,
        /// What is different.
        change: BaseChange,
    },
    /// Its base cannot be looked at.
    #[error("cannot use the base of image {image}")]
    #[class(source)]
    Base {
        /// The image, by its registered name.
        image: ImageName,
        /// The error that caused it.
        source: BaseReadError,
    },
    /// The view.
    #[error(transparent)]
    #[class(source)]
    View(#[from] ViewError),
    /// The record.
    #[error(transparent)]
    #[class(source)]
    Lease(#[from] LeaseError),
    /// Making the file.
    #[error(transparent)]
    #[class(source)]
    Overlay(#[from] OverlayError),
    /// The agent stops.
    #[error(transparent)]
    #[class(cancelled)]
    Stopping(#[from] Stopping),
}

/// Where an overlay is to be, and with whose rights it is made.
pub(in crate::volume) struct Place {
    pub(in crate::volume) act_as: ActAs,
    pub(in crate::volume) path: PathBuf,
    pub(in crate::volume) mount_point: PathBuf,
}

impl Overlays {
    /// The place for an overlay at `given`, if the caller may have it and nothing is there.
    pub(in crate::volume) async fn free_place(
        &self,
        by: UnixPeer,
        given: &Path,
    ) -> Result<Place, CreateOverlayError> {
        let (at, path) = (MountTable::read().mount_point_of(given), given.to_owned());
        let place = self.storage.ask(&at, Instant::now() + PLACE_DEADLINE, move || look_for_place(by, &path));
        let place =
            place.await.ok_or_else(|| CreateOverlayError::Unresponsive { path: given.to_owned() })??;
        match self.leases.get(&place.path) {
            Some(lease) => {
                Err(CreateOverlayError::Recorded { image: lease.overlay.image.clone(), path: place.path })
            }
            None => Ok(place),
        }
    }

    /// The record first: a view without a record is dropped at the next start, under the VM.
    pub(in crate::volume) async fn make(
        &mut self,
        place: Place,
        overlay: OverlayView,
    ) -> Result<OverlayView, CreateOverlayError> {
        let act_as = &place.act_as;
        let mount_point = Some(place.mount_point.clone());
        let intended = Lease { stage: Stage::Intended, overlay, mount_point, missing_since: None };
        self.leases.put(intended.clone()).await?;
        kill_point(KillPoint::OverlayIntended);
        let overlay = intended.overlay.clone();
        let (path, size) = (&overlay.path, overlay.virtual_size_bytes);
        if let Err(error) = self.maker.create(act_as, path, &overlay.cache, size).await {
            self.leases.remove(path).await?;
            return Err(not_made(error, act_as));
        }
        kill_point(KillPoint::OverlayCreated);
        if let Err(error) = self.leases.put(Lease { stage: Stage::Made, ..intended }).await {
            // Whoever asked is told that it failed, and will not look for a file.
            self.remove_unrecorded(&place).await;
            self.leases.remove(&overlay.path).await?;
            return Err(error.into());
        }
        kill_point(KillPoint::OverlayMade);
        tracing::info!("made overlay {} of {} on {}", shown(&overlay.path), overlay.image, overlay.snapshot);
        Ok(overlay)
    }

    async fn remove_unrecorded(&self, place: &Place) {
        let (act_as, path, until) =
            (place.act_as.clone(), place.path.clone(), Instant::now() + PLACE_DEADLINE);
        let remove = move || drop(act_as.act(|| std::fs::remove_file(&path)));
        if self.storage.ask(&place.mount_point, until, remove).await.is_none() {
            tracing::warn!("{} may be left: its storage does not answer", shown(&place.path));
        }
    }
}

/// With the caller's act_as: what the caller cannot see is not told either. Blocks.
fn look_for_place(by: UnixPeer, given: &Path) -> Result<Place, CreateOverlayError> {
    let unknown = |source| CreateOverlayError::Rights { source };
    let act_as = by.act_as().map_err(unknown)?;
    let (path, mount_point) = act_as.act(|| look(given)).map_err(unknown)??;
    Ok(Place { act_as, path, mount_point })
}

/// The path without links, and where its storage is mounted.
fn look(given: &Path) -> Result<(PathBuf, PathBuf), CreateOverlayError> {
    let path = canonical_path::canonical(given)
        .ok_or_else(|| CreateOverlayError::Path { path: given.to_owned() })?;
    if path.symlink_metadata().is_ok() {
        return Err(CreateOverlayError::Exists { path });
    }
    let directory = path.parent().filter(|directory| directory.is_dir());
    match directory.and_then(|directory| file_state::mount_point(directory).ok()) {
        Some(mount_point) => Ok((path, mount_point)),
        None => Err(CreateOverlayError::NoDirectory { path }),
    }
}

/// The same words, whichever call the kernel refused a user.
fn not_made(error: OverlayError, act_as: &ActAs) -> CreateOverlayError {
    match (error, act_as) {
        (OverlayError::Io { path, source }, ActAs::Of(user))
            if source.kind() == io::ErrorKind::PermissionDenied =>
        {
            CreateOverlayError::NotAllowed { user: user.clone(), path }
        }
        (error, _) => error.into(),
    }
}
