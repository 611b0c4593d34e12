//! What capturing and verifying can meet.

use super::detect::Failure;
use bootstash_base::error::{Classified, ErrorClass};
use bootstash_disk::BaseReadError;
use bootstash_disk::nbd::OpenBaseError;
use bootstash_disk::qcow2::LayoutError;
use bootstash_qemu::{
    AcceleratorError, CheckError, CompareError, InspectCacheError, MachineError, OverlayError,
};
use std::fmt;
use std::io;
use std::path::PathBuf;

/// An image was not captured; nothing of the attempt is left.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// It did not come up.
    #[error("{} did not boot (boot {boot}): {failure}; {}", .path.display(), Console(.console))]
    NeverBooted {
        /// The image.
        path: PathBuf,
        /// Which boot, from 1.
        boot: u32,
        /// Why.
        failure: Failure,
        /// The last lines of its console, oldest first.
        console: Vec<String>,
    },
    /// Whoever asked for it wants it no more.
    #[error("the capture of {} was cancelled", .path.display())]
    Cancelled {
        /// The image.
        path: PathBuf,
    },
    /// KVM was demanded and does not work.
    #[error(transparent)]
    Accelerator(#[from] AcceleratorError),
    /// The image could not be opened.
    #[error(transparent)]
    Open(#[from] OpenBaseError),
    /// The cache to adopt was refused.
    #[error(transparent)]
    Foreign(#[from] InspectCacheError),
    /// The image, or the cache to adopt, could not be read through.
    #[error("cannot read {}", .path.display())]
    Scan {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The work directory cannot be used.
    #[error("cannot work in {}; check that it is writable and has space", .dir.display())]
    Scratch {
        /// The directory.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The guest's overlay could not be made.
    #[error(transparent)]
    Overlay(#[from] OverlayError),
    /// The guest could not be run.
    #[error("cannot run boot {boot} of {}", .path.display())]
    Machine {
        /// The image.
        path: PathBuf,
        /// Which boot, from 1.
        boot: u32,
        /// Why.
        source: MachineError,
    },
    /// No cache of this image can be laid out.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The cache could not be written.
    #[error("cannot write {}; check that its file system has space", .path.display())]
    Write {
        /// The cache.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Classified for CaptureError {
    fn kind(&self) -> ErrorClass {
        match self {
            Self::NeverBooted { .. } => ErrorClass::Permanent,
            Self::Cancelled { .. } => ErrorClass::Cancelled,
            Self::Accelerator(error) => error.kind(),
            Self::Open(error) => error.kind(),
            Self::Foreign(error) => error.kind(),
            Self::Overlay(error) => error.kind(),
            Self::Layout(error) => error.kind(),
            Self::Machine { source, .. } => source.kind(),
            Self::Scan { .. } | Self::Scratch { .. } | Self::Write { .. } => ErrorClass::Operator,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit(limit) => write!(
                f,
                "neither a login prompt on its serial console nor its guest agent came within {} s \
                 (raise boot_timeout if it needs longer, or give it console=ttyS0)",
                limit.as_secs()
            ),
            Self::Fatal(why) => f.write_str(why),
            Self::Ended => f.write_str("it powered itself off"),
        }
    }
}

/// The last lines of a console on one line.
struct Console<'a>(&'a [String]);

impl fmt::Display for Console<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("its console printed nothing"),
            lines => write!(f, "its console ended with: {}", lines.join(" | ")),
        }
    }
}

/// A cache was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The base is not what was inspected.
    #[error("{} was written to while it was being registered; register it again when nobody does", .path.display())]
    Changed {
        /// The image.
        path: PathBuf,
    },
    /// The base could not be looked at.
    #[error(transparent)]
    Base(#[from] BaseReadError),
    /// Its metadata is wrong.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// Its bytes are not the base's.
    #[error(transparent)]
    Compare(#[from] CompareError),
}

impl Classified for VerifyError {
    fn kind(&self) -> ErrorClass {
        match self {
            Self::Changed { .. } => ErrorClass::Permanent,
            Self::Base(error) => error.kind(),
            Self::Check(error) => error.kind(),
            Self::Compare(error) => error.kind(),
        }
    }
}
