//! The file of an overlay and its record: where it may be, and both made in their order.

use super::lease::{Lease, LeaseError, Stage};
use super::{AccessError, Overlays, canonical_path, file_state, scan_directory};
use crate::layout::Layout;
use crate::volume::{Stopping, ViewError};
use bootstash_base::error::Classified;
use bootstash_base::file_owner::FileOwner;
use bootstash_base::impersonate::{ActAs, UnixPeer, User};
use bootstash_base::kill_point::{KillPoint, kill_point};
use bootstash_base::names::ImageName;
use bootstash_base::quoted_path::shown;
use bootstash_delta::catalog::CatalogError;
use bootstash_disk::{BaseChange, BaseReadError};
use bootstash_net::api::{OverlayOutcome, OverlayReply, OverlayView};
use bootstash_qemu::{NewOverlay, OverlayError};
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
    /// It cannot be looked at.
    #[error(transparent)]
    #[class(source)]
    Access(#[from] AccessError),
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
    /// There is a record, and its file was on other storage.
    #[error(
        "{} is recorded as an overlay of {image}, and the storage that held it is not mounted; mount that, or run \
         `bootstash overlay remove` on it first",
        shown(.path)
    )]
    #[class(permanent)]
    Away {
        /// The overlay.
        path: PathBuf,
        /// The image of the record.
        image: ImageName,
    },
    /// The image would not fit.
    #[error(
        "a disk of {wanted_bytes} bytes would cut off the end of {image}, which has {image_bytes}; give at least that"
    )]
    #[class(permanent)]
    TooSmall {
        /// The image, by its registered name.
        image: ImageName,
        /// Its size.
        image_bytes: u64,
        /// What was asked for.
        wanted_bytes: u64,
    },
    /// Only root gives files away.
    #[error("{user} may not give {} to another; leave the owner out, or ask as root", shown(.path))]
    #[class(permanent)]
    Owner {
        /// Who asked.
        user: User,
        /// The overlay.
        path: PathBuf,
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

/// An overlay that is asked for.
#[derive(Clone, Debug)]
pub struct OverlaySpec {
    /// The image it boots.
    pub image: ImageName,
    /// Its file.
    pub path: PathBuf,
    /// Size of its disk, where that is to be more than the image's.
    pub size_bytes: Option<u64>,
    /// Who it is to belong to, where that is not who asks.
    pub owner: Option<FileOwner>,
}

impl OverlaySpec {
    /// Whether `overlay` is what is asked for, as far as that does not change once it is used.
    fn is_met_by(&self, overlay: &OverlayView) -> bool {
        overlay.image == self.image && self.size_bytes.is_none_or(|bytes| overlay.virtual_size_bytes == bytes)
    }

    /// Size of its disk, if the image fits.
    pub(in crate::volume) fn virtual_size_bytes(&self, image_bytes: u64) -> Result<u64, CreateOverlayError> {
        let wanted_bytes = self.size_bytes.unwrap_or(image_bytes);
        if wanted_bytes < image_bytes {
            let image = self.image.clone();
            return Err(CreateOverlayError::TooSmall { image, image_bytes, wanted_bytes });
        }
        Ok(wanted_bytes)
    }
}

/// What is at the path of an overlay that is asked for.
pub(in crate::volume) enum Found {
    /// Nothing.
    Free(Place),
    /// What is asked for.
    Made(Box<Lease>),
}

/// Where an overlay is to be, and with whose rights it is made.
pub(in crate::volume) struct Place {
    pub(in crate::volume) act_as: ActAs,
    pub(in crate::volume) path: PathBuf,
    pub(in crate::volume) mount_point: PathBuf,
    pub(in crate::volume) owner: Option<FileOwner>,
}

/// An overlay was not made.
pub(in crate::volume) struct NotMade {
    pub(in crate::volume) error: CreateOverlayError,
    pub(in crate::volume) record: Record,
}

/// What became of the record of an overlay that was not made.
pub(in crate::volume) enum Record {
    AsBefore,
    Intended(Box<Lease>),
    Gone(PathBuf),
}

impl NotMade {
    fn new(error: impl Into<CreateOverlayError>, record: Record) -> Self {
        Self { error: error.into(), record }
    }
}

impl Overlays {
    /// The place for an overlay, if the caller may have it, or the overlay that is there already.
    pub(in crate::volume) async fn look_for(
        &self,
        by: UnixPeer,
        spec: &OverlaySpec,
    ) -> Result<Found, CreateOverlayError> {
        let (layout, wanted) = (self.layout.clone(), spec.clone());
        let look = move |_: &Path, act_as: &ActAs| find(act_as, &wanted, &layout);
        let found = self.access(by, &spec.path, PLACE_DEADLINE, look).await?;
        if let Found::Free(place) = &found {
            self.is_not_away(place)?;
        }
        Ok(found)
    }

    /// A recorded overlay whose file is gone is made anew; one whose storage is away is still there.
    fn is_not_away(&self, place: &Place) -> Result<(), CreateOverlayError> {
        match self.leases.get(&place.path) {
            Some(lease) if lease.mount_point.as_ref().is_some_and(|noted| *noted != place.mount_point) => {
                Err(CreateOverlayError::Away { image: lease.overlay.image.clone(), path: place.path.clone() })
            }
            _ => Ok(()),
        }
    }

    /// The overlay that was asked for is there; it is on record from now on, if it was not.
    pub(in crate::volume) async fn keep(&mut self, lease: Lease) -> Result<OverlayReply, CreateOverlayError> {
        let overlay = match self.leases.get(&lease.overlay.path) {
            Some(known) if known.overlay.cache == lease.overlay.cache => known.overlay.clone(),
            _ => lease.overlay.clone(),
        };
        self.record(lease).await?;
        Ok(OverlayReply { overlay, outcome: OverlayOutcome::Unchanged })
    }

    /// The record first: a view without a record is dropped at the next start, under the VM. What is on record is still to be
    /// noted.
    pub(in crate::volume) async fn make(&self, place: Place, overlay: OverlayView) -> Result<Lease, NotMade> {
        let mount_point = Some(place.mount_point.clone());
        let intended =
            Lease { stage: Stage::Intended, overlay, mount_point, missing_since: None, pinned: false };
        self.leases.write(&intended).await.map_err(|error| NotMade::new(error, Record::AsBefore))?;
        kill_point(KillPoint::OverlayIntended);
        let overlay = &intended.overlay;
        let file = NewOverlay {
            path: &overlay.path,
            backing: &overlay.cache,
            virtual_size_bytes: overlay.virtual_size_bytes,
            owner: place.owner,
        };
        if let Err(error) = self.maker.create(&place.act_as, file).await {
            return Err(self.take_back(intended, not_made(error, &place.act_as)).await);
        }
        kill_point(KillPoint::OverlayCreated);
        let made = Lease { stage: Stage::Made, ..intended.clone() };
        if let Err(error) = self.leases.write(&made).await {
            // Whoever asked is told that it failed, and will not look for a file.
            self.remove_unrecorded(&place).await;
            return Err(self.take_back(intended, error.into()).await);
        }
        kill_point(KillPoint::OverlayMade);
        let overlay = &made.overlay;
        tracing::info!("made overlay {} of {} on {}", shown(&overlay.path), overlay.image, overlay.snapshot);
        Ok(made)
    }

    /// The record of an overlay that was not made goes.
    async fn take_back(&self, intended: Lease, why: CreateOverlayError) -> NotMade {
        match self.leases.erase(&intended.overlay.path).await {
            Ok(()) => NotMade { error: why, record: Record::Gone(intended.overlay.path) },
            Err(error) => NotMade::new(error, Record::Intended(Box::new(intended))),
        }
    }

    /// Takes note of a record that was written.
    pub(in crate::volume) fn note(&mut self, lease: Lease) {
        self.leases.note(lease);
    }

    /// Takes note of what became of the record of an overlay that was not made.
    pub(in crate::volume) fn note_not_made(&mut self, record: Record) {
        match record {
            Record::AsBefore => (),
            Record::Intended(lease) => self.leases.note(*lease),
            Record::Gone(path) => self.leases.forget(&path),
        }
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
fn find(act_as: &ActAs, spec: &OverlaySpec, layout: &Layout) -> Result<Found, CreateOverlayError> {
    let (path, mount_point, made) = act_as.act(|| look(spec, layout)).map_err(AccessError::rights)??;
    match (made, act_as) {
        (Some(lease), _) => Ok(Found::Made(Box::new(lease))),
        (None, ActAs::Of(user)) if spec.owner.is_some() => {
            Err(CreateOverlayError::Owner { user: user.clone(), path })
        }
        (None, _) => {
            let (act_as, owner) = (act_as.clone(), spec.owner);
            Ok(Found::Free(Place { act_as, path, mount_point, owner }))
        }
    }
}

/// The path without links, where its storage is mounted, and the overlay that is there, if it is what is asked for.
fn look(
    spec: &OverlaySpec,
    layout: &Layout,
) -> Result<(PathBuf, PathBuf, Option<Lease>), CreateOverlayError> {
    let path = canonical_path::canonical(&spec.path)
        .ok_or_else(|| CreateOverlayError::Path { path: spec.path.clone() })?;
    let there = path.symlink_metadata().is_ok();
    let directory = path.parent().filter(|directory| directory.is_dir());
    let mount_point = directory.and_then(|directory| file_state::mount_point(directory).ok());
    let Some(mount_point) = mount_point else { return Err(CreateOverlayError::NoDirectory { path }) };
    if !there {
        return Ok((path, mount_point, None));
    }
    let made = scan_directory::overlay_at(&path, layout, &mount_point).ok().flatten();
    match made.filter(|lease| spec.is_met_by(&lease.overlay)) {
        Some(lease) => Ok((path, mount_point, Some(lease))),
        None => Err(CreateOverlayError::Exists { path }),
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
