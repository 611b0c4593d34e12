//! Errors of the volume's owner, a type for each operation.

use super::lease::LeaseError;
use bootstash_base::error::{Classified, ErrorClass};
use bootstash_base::impersonate::User;
use bootstash_base::names::{Guid, ImageName, NameError, SnapshotName};
use bootstash_delta::DeltaReadError;
use bootstash_delta::catalog::CatalogError;
use bootstash_disk::BaseReadError;
use bootstash_qemu::OverlayError;
use bootstash_zfs::{CloneError, CreateError, DestroyError, ReadError, ReceiveError};
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// The agent stops, and takes no more orders.
#[derive(Debug, Error)]
#[error("the agent is stopping; try again when it runs")]
pub struct Stopping;

/// The volume could not be taken over at start.
#[derive(Debug, Error)]
pub enum OpenError {
    /// A directory of ours.
    #[error("cannot create the directory {}", .path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file system of ours.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// The records of overlays.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// The state of ZFS.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// A view could not be made or mounted.
#[derive(Debug, Error, Classified)]
pub enum ViewError {
    /// The configured names are too long.
    #[error(transparent)]
    #[class(operator)]
    Name(#[from] NameError),
    /// No volume here has the snapshot.
    #[error("no volume of this node has the snapshot {snapshot}")]
    #[class(permanent)]
    Missing {
        /// The snapshot.
        snapshot: SnapshotName,
    },
    /// Two volumes have different snapshots of one name.
    #[error(
        "two volumes of this node have different snapshots called {snapshot}; drop the one that was replaced"
    )]
    #[class(operator)]
    Ambiguous {
        /// The snapshot.
        snapshot: SnapshotName,
    },
    /// Cloning and mounting.
    #[error(transparent)]
    #[class(source)]
    Clone(Box<CloneError>),
    /// Destroying.
    #[error(transparent)]
    #[class(source)]
    Destroy(#[from] DestroyError),
}

impl From<CloneError> for ViewError {
    fn from(error: CloneError) -> Self {
        Self::Clone(Box::new(error))
    }
}

/// The images of a snapshot could not be read.
#[derive(Debug, Error, Classified)]
pub enum CatalogReadError {
    /// Its view.
    #[error(transparent)]
    #[class(source)]
    View(#[from] ViewError),
    /// Its files.
    #[error(transparent)]
    #[class(source)]
    Catalog(#[from] CatalogError),
    /// The agent stops.
    #[error(transparent)]
    #[class(cancelled)]
    Stopping(#[from] Stopping),
}

/// A delta was not applied. But for [`ApplyError::WrongResult`], the volume is as it was.
#[derive(Debug, Error, Classified)]
pub enum ApplyError {
    /// The file.
    #[error("cannot read delta {file}")]
    #[class(source)]
    Delta {
        /// Its name at the registrar.
        file: String,
        /// Why.
        source: DeltaReadError,
    },
    /// Its header speaks of other snapshots than the registrar's log.
    #[error("delta {file} is not the one announced: it leads to snapshot GUID {got}, not to {wanted}")]
    #[class(permanent)]
    WrongHeader {
        /// Its name at the registrar.
        file: String,
        /// What was announced.
        wanted: Guid,
        /// What its header says.
        got: Guid,
    },
    /// It starts from another snapshot than the newest here.
    #[error("delta {file} does not start from this node's newest snapshot")]
    #[class(permanent)]
    WrongBase {
        /// Its name at the registrar.
        file: String,
    },
    /// ZFS.
    #[error(transparent)]
    #[class(with = of_receive)]
    Receive(#[from] ReceiveError),
    /// It was received, and something else came of it than was announced.
    #[error(
        "delta {file} made snapshot GUID {got}, not {wanted} as announced; this volume is not to be trusted: \
         destroy it (zfs destroy -r) and let the agent fetch it anew"
    )]
    #[class(operator)]
    WrongResult {
        /// Its name at the registrar.
        file: String,
        /// What was announced.
        wanted: Guid,
        /// What came.
        got: Guid,
    },
    /// The state of ZFS.
    #[error(transparent)]
    #[class(source)]
    Read(#[from] ReadError),
    /// The configured names are too long.
    #[error(transparent)]
    #[class(operator)]
    Name(#[from] NameError),
    /// A note cannot be written.
    #[error("cannot write a note to {}", .path.display())]
    #[class(operator)]
    Note {
        /// Its directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What came wrong does not go away.
    #[error(transparent)]
    #[class(source)]
    Destroy(#[from] DestroyError),
    /// The agent stops.
    #[error(transparent)]
    #[class(cancelled)]
    Stopping(#[from] Stopping),
}

/// The file was whole, so the same file will end early again.
fn of_receive(error: &ApplyError) -> ErrorClass {
    match error {
        ApplyError::Receive(error) if !matches!(error, ReceiveError::Truncated { .. }) => error.kind(),
        _ => ErrorClass::Permanent,
    }
}

impl ApplyError {
    /// Whether another copy of the file may do better.
    pub fn blames_the_file(&self) -> bool {
        match self {
            Self::Delta { source, .. } => source.kind() == ErrorClass::Permanent,
            Self::WrongHeader { .. } => true,
            Self::Receive(error) => {
                matches!(error, ReceiveError::Corrupt { .. } | ReceiveError::Truncated { .. })
            }
            _ => false,
        }
    }
}

/// An overlay was not made; nothing of it is left.
#[derive(Debug, Error, Classified)]
pub enum CreateOverlayError {
    /// Not an absolute path of a file.
    #[error("{} is no absolute path of a file; give one, as /var/lib/vms/a.qcow2", .path.display())]
    #[class(permanent)]
    Path {
        /// What was given.
        path: PathBuf,
    },
    /// Its storage does not answer.
    #[error("the storage of {} does not answer; try again when it does, or give another path", .path.display())]
    #[class(transient)]
    Silent {
        /// The overlay.
        path: PathBuf,
    },
    /// What the caller may do is not known.
    #[error("cannot act with your rights; ask as root")]
    #[class(operator)]
    Rights {
        /// Why.
        source: io::Error,
    },
    /// The caller may not.
    #[error(
        "{user} may not make {}; give a path in a directory where that user may make files, or ask as root",
        .path.display()
    )]
    #[class(permanent)]
    NotAllowed {
        /// Who asked.
        user: User,
        /// The overlay.
        path: PathBuf,
    },
    /// Its directory.
    #[error("the directory of {} does not exist; create it first", .path.display())]
    #[class(permanent)]
    NoDirectory {
        /// The overlay.
        path: PathBuf,
    },
    /// Something is there.
    #[error("{} exists; remove it or give another path", .path.display())]
    #[class(permanent)]
    Exists {
        /// The overlay.
        path: PathBuf,
    },
    /// There is a record, but no file.
    #[error(
        "{} is recorded as an overlay of {image}, though its file is gone; run `bootstash overlay remove` on it first",
        .path.display()
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
    /// The image.
    #[error(transparent)]
    #[class(source)]
    Catalog(#[from] CatalogError),
    /// Its base is not what it was.
    #[error(
        "the image file {} was changed since {image} was registered ({change}), and no longer fits its boot cache; \
         deregister and register it again",
        .path.display()
    )]
    #[class(permanent)]
    BaseChanged {
        /// The image.
        image: ImageName,
        /// Its base.
        path: PathBuf,
        /// What is different.
        change: String,
    },
    /// Its base cannot be looked at.
    #[error("cannot use the base of image {image}")]
    #[class(source)]
    Base {
        /// The image.
        image: ImageName,
        /// Why.
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

/// An overlay was not removed.
#[derive(Debug, Error, Classified)]
pub enum RemoveOverlayError {
    /// There is a file, which is none of ours.
    #[error("{} is no overlay that was made here, and so it is not removed", .path.display())]
    #[class(permanent)]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Its storage does not answer.
    #[error("the storage of {} does not answer; try again when it does", .path.display())]
    #[class(transient)]
    Silent {
        /// The overlay.
        path: PathBuf,
    },
    /// What the caller may do is not known.
    #[error("cannot act with your rights; ask as root")]
    #[class(operator)]
    Rights {
        /// Why.
        source: io::Error,
    },
    /// The caller may not.
    #[error("{user} may not remove {}; ask as a user who may, or as root", .path.display())]
    #[class(permanent)]
    NotAllowed {
        /// Who asked.
        user: User,
        /// The overlay.
        path: PathBuf,
    },
    /// A VM has it open.
    #[error("{} is open in a running VM; stop that first", .path.display())]
    #[class(busy)]
    InUse {
        /// The overlay.
        path: PathBuf,
    },
    /// The file.
    #[error("cannot remove {}", .path.display())]
    #[class(operator)]
    Io {
        /// The overlay.
        path: PathBuf,
        /// Why.
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

/// Collecting broke off; what went before stays gone.
#[derive(Debug, Error, Classified)]
pub enum CollectError {
    /// A snapshot.
    #[error("cannot collect snapshot {snapshot}")]
    #[class(source)]
    Snapshot {
        /// The snapshot.
        snapshot: SnapshotName,
        /// Why.
        source: DestroyError,
    },
    /// A view.
    #[error(transparent)]
    #[class(source)]
    View(#[from] ViewError),
    /// The state of ZFS.
    #[error(transparent)]
    #[class(source)]
    Read(#[from] ReadError),
    /// The agent stops.
    #[error(transparent)]
    #[class(cancelled)]
    Stopping(#[from] Stopping),
}
