//! Holding a boot cache for a disk that somebody else made: a record of it, as an overlay's, until it is unpinned.
//!
//! Promises: files are read with the rights of whoever asks, and never written to; a view that a disk is chained onto
//! is not let go; what a pin is asked for twice is one.

use super::bottom::{self, Backing, Bottom, NoBottom};
use super::lease::{Lease, LeaseError, Stage};
use super::{AccessError, CreateOverlayError, Overlays};
use crate::volume::{CatalogReadError, Stopping, ViewError};
use bootstash_base::error::Classified;
use bootstash_base::impersonate::{ActAs, UnixPeer, User};
use bootstash_base::names::{ImageName, SnapshotName};
use bootstash_base::quoted_path::shown;
use bootstash_delta::catalog::{Catalog, CatalogError};
use bootstash_net::api::{OverlayOutcome, OverlayView};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// How long the storage of a disk may take to show its chain.
const DEADLINE: Duration = Duration::from_secs(20);

/// A disk was not pinned, or not unpinned; nothing was changed.
#[derive(Debug, Error, Classified)]
pub enum PinError {
    /// Nothing is there.
    #[error("there is no file {}; give the absolute path of a disk, as this node sees it", shown(.path))]
    #[class(permanent)]
    NoFile {
        /// What was given.
        path: PathBuf,
    },
    /// It needs no other file.
    #[error("{} is no qcow2 file that is chained onto another, and so has no use for a boot cache", shown(.path))]
    #[class(permanent)]
    Alone {
        /// The disk.
        path: PathBuf,
    },
    /// Its chain goes round, or is absurd.
    #[error("the chain of {} has more than 64 files; look at `qemu-img info --backing-chain`", shown(.path))]
    #[class(permanent)]
    Long {
        /// The disk.
        path: PathBuf,
    },
    /// Its chain ends in something else.
    #[error(
        "the chain of {} ends in {}, which is the file of no image that this node has; `bootstash images` lists those",
        shown(.path), shown(.base)
    )]
    #[class(permanent)]
    NotRegistered {
        /// The disk.
        path: PathBuf,
        /// What its chain ends in.
        base: PathBuf,
    },
    /// Its boot cache is not here, and the image of that name may be another one now.
    #[error(
        "{} is chained onto a boot cache of {image} in snapshot {snapshot}, which this node does not have, and {image} was \
         registered anew since or is gone; chain it onto the image it was made of: qemu-img rebase -u -b IMAGE -F FORMAT",
        shown(.path)
    )]
    #[class(operator)]
    Outdated {
        /// The lowest overlay.
        path: PathBuf,
        /// The image, by its registered name.
        image: ImageName,
        /// Of its boot cache.
        snapshot: SnapshotName,
    },
    /// It is no pin.
    #[error("{} was made by `bootstash overlay create`; `bootstash overlay remove` removes it", shown(.path))]
    #[class(permanent)]
    NotPinned {
        /// The overlay.
        path: PathBuf,
    },
    /// Without its view its VM would not start.
    #[error("{} is still chained onto its boot cache; first run: {remedy}", shown(.path))]
    #[class(busy)]
    Chained {
        /// The lowest overlay.
        path: PathBuf,
        /// What to type.
        remedy: String,
    },
    /// It cannot be looked at.
    #[error(transparent)]
    #[class(source)]
    Access(#[from] AccessError),
    /// The caller may not.
    #[error("{user} may not use {}; ask as a user who may, or as root", shown(.path))]
    #[class(permanent)]
    NotAllowed {
        /// Who asked.
        user: User,
        /// The file.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error("cannot read {}", shown(.path))]
    #[class(operator)]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Nothing was received yet.
    #[error("this node holds no images yet; `bootstash status` tells how far it is")]
    #[class(transient)]
    Empty,
    /// Which images there are.
    #[error(transparent)]
    #[class(source)]
    Images(#[from] CatalogReadError),
    /// The image's manifest.
    #[error(transparent)]
    #[class(source)]
    Catalog(#[from] CatalogError),
    /// Its base is not what it was.
    #[error(transparent)]
    #[class(source)]
    Base(Box<CreateOverlayError>),
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

/// Which boot cache is held for a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::volume) enum Held {
    /// The one it is chained onto.
    AsChained(SnapshotName, ImageName),
    /// That of its image in the newest snapshot.
    Newest(ImageName),
}

/// Decides it by what a chain ends in, and what this node has. An old boot cache gives way to the newest one of that name only
/// if that is of the same registration, and so of the same bytes.
pub(in crate::volume) fn held(
    bottom: &Bottom,
    here: impl Fn(&SnapshotName) -> bool,
    images: &Catalog,
) -> Result<Held, PinError> {
    let path = bottom.path.clone();
    match &bottom.backing {
        Backing::Cache { snapshot, image, .. } if here(snapshot) => {
            Ok(Held::AsChained(snapshot.clone(), image.clone()))
        }
        Backing::Cache { snapshot, image, .. } => {
            match images.get(image).filter(|now| now.registered <= snapshot.taken()) {
                Some(_) => Ok(Held::Newest(image.clone())),
                None => Err(PinError::Outdated { path, image: image.clone(), snapshot: snapshot.clone() }),
            }
        }
        Backing::Base(base) => match images.iter().find(|manifest| manifest.source.path == *base) {
            Some(manifest) => Ok(Held::Newest(manifest.name.clone())),
            None => Err(PinError::NotRegistered { path, base: base.clone() }),
        },
    }
}

impl Overlays {
    /// The lowest overlay of a disk's chain, as far as the caller may read it.
    pub(in crate::volume) async fn bottom_of(&self, by: UnixPeer, given: &Path) -> Result<Bottom, PinError> {
        let layout = self.layout.clone();
        let look = move |path: &Path, act_as: &ActAs| {
            let found = act_as.act(|| bottom::of(path, &layout)).map_err(AccessError::rights)?;
            found.map_err(|error| no_bottom(error, path, act_as))
        };
        self.access(by, given, DEADLINE, look).await
    }

    /// Records a pin. What is chained onto the same boot cache already, and on record, stays as it is.
    pub(in crate::volume) async fn pin(
        &mut self,
        overlay: OverlayView,
        mount_point: PathBuf,
        chained: bool,
    ) -> Result<(OverlayView, OverlayOutcome), LeaseError> {
        if let Some(known) = self.leases.get(&overlay.path)
            && known.overlay.cache == overlay.cache
            && (known.pinned || chained)
        {
            return Ok((known.overlay.clone(), OverlayOutcome::Unchanged));
        }
        let stage = Stage::Made;
        let lease =
            Lease { stage, overlay, mount_point: Some(mount_point), missing_since: None, pinned: true };
        self.leases.put(lease.clone()).await?;
        let overlay = lease.overlay;
        tracing::info!("pinned {} of {} on {}", shown(&overlay.path), overlay.image, overlay.snapshot);
        Ok((overlay, OverlayOutcome::Created))
    }

    /// Forgets a pin, unless the disk is chained onto its boot cache. Returns the snapshot whose view was held; none where
    /// nothing was pinned.
    pub(in crate::volume) async fn unpin(
        &mut self,
        by: UnixPeer,
        given: &Path,
        remedy: impl Fn(&OverlayView) -> String,
    ) -> Result<Option<SnapshotName>, PinError> {
        let (path, backing) = match self.bottom_of(by, given).await {
            Ok(bottom) => (bottom.path, Some(bottom.backing)),
            // Gone, or not chained any more.
            Err(PinError::NoFile { path } | PinError::Alone { path }) => (path, None),
            Err(error) => return Err(error),
        };
        let Some(lease) = self.leases.get(&path) else { return Ok(None) };
        let overlay = lease.overlay.clone();
        if !lease.pinned {
            return Err(PinError::NotPinned { path });
        }
        if matches!(&backing, Some(Backing::Cache { path: cache, .. }) if *cache == overlay.cache) {
            return Err(PinError::Chained { path, remedy: remedy(&overlay) });
        }
        self.access(by, &path, DEADLINE, may_write).await?;
        self.leases.remove(&path).await?;
        tracing::info!("unpinned {}", shown(&path));
        Ok(Some(overlay.snapshot))
    }
}

/// Who may write to a disk decides what becomes of it; of one that is gone, root.
fn may_write(path: &Path, act_as: &ActAs) -> Result<(), PinError> {
    let ActAs::Of(user) = act_as else { return Ok(()) };
    let opened = act_as.act(|| File::options().write(true).open(path).map(drop));
    opened
        .and_then(|opened| opened)
        .map_err(|_| PinError::NotAllowed { user: user.clone(), path: path.to_owned() })
}

fn no_bottom(error: NoBottom, given: &Path, act_as: &ActAs) -> PinError {
    let path = given.to_owned();
    match (error, act_as) {
        (NoBottom::Absent, _) => PinError::NoFile { path },
        (NoBottom::Alone, _) => PinError::Alone { path },
        (NoBottom::Long, _) => PinError::Long { path },
        (NoBottom::Io { path, source }, ActAs::Of(user))
            if source.kind() == io::ErrorKind::PermissionDenied =>
        {
            PinError::NotAllowed { user: user.clone(), path }
        }
        (NoBottom::Io { path, source }, _) => PinError::Io { path, source },
    }
}
