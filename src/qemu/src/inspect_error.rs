//! Why an image is not taken.

use super::{OpenDiskError, QemuFailure};
use bootstash_base::error::Classified;
use bootstash_disk::formats::Packing;
use bootstash_disk::qcow2::header::Qcow2Header;
use bootstash_disk::qcow2::inspect::{Feature, FormatViolation, Refusal};
use bootstash_disk::{BaseReadError, ImageFormat};
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// An image was refused, or could not be looked at.
#[derive(Debug, Error, Classified)]
#[class(permanent)]
pub enum InspectError {
    /// Missing, a directory, unreadable.
    #[error(transparent)]
    #[class(source)]
    File(#[from] BaseReadError),
    /// It cannot be opened as the disk it is.
    #[error(transparent)]
    #[class(source)]
    Open(#[from] OpenDiskError),
    /// It has a backing file.
    #[error("{} depends on a backing file; flatten it: qemu-img convert -O qcow2 {} flat.qcow2", .path.display(), .path.display())]
    Backing {
        /// The image, by its file.
        path: PathBuf,
    },
    /// It keeps its data in another file.
    #[error("{} keeps its data in an external data file; put both into one: qemu-img convert -O qcow2 {} whole.qcow2", .path.display(), .path.display())]
    DataFile {
        /// The image, by its file.
        path: PathBuf,
    },
    /// It is encrypted.
    #[error("{} is encrypted, and bootstash has no key; decrypt it: qemu-img convert -O qcow2 (with --image-opts and --object secret)", .path.display())]
    Encrypted {
        /// The image, by its file.
        path: PathBuf,
    },
    /// It is in another format.
    #[error(
        "{} is a {found} image of a kind that bootstash does not take (a disk in several files, or a format other than \
         raw, qcow2, vmdk, vdi, vhdx and vhd): qemu-img convert -O qcow2 {} image.qcow2 \
         (a raw disk that only begins or ends like one: register it with --format raw)",
        .path.display(), .path.display()
    )]
    Format {
        /// The image, by its file.
        path: PathBuf,
        /// Its format, as QEMU calls it.
        found: String,
    },
    /// It holds a disk, or something else, in another form.
    #[error(
        "{} is {packing}, no disk image; {} (a raw disk that only begins so: register it with --format raw)",
        .path.display(), .packing.remedy(.path)
    )]
    Packed {
        /// The file.
        path: PathBuf,
        /// What it is.
        packing: Packing,
    },
    /// It was said to be qcow2 and is not.
    #[error("{} is not a qcow2 image; give its real format or none", .path.display())]
    NotQcow2 {
        /// The image, by its file.
        path: PathBuf,
    },
    /// It was said to be in a format that it is not in.
    #[error("{} is not a {format} image; give its real format or none", .path.display())]
    NotAs {
        /// The image, by its file.
        path: PathBuf,
        /// What it was said to be.
        format: ImageFormat,
    },
    /// Its metadata points past its end.
    #[error("{} is truncated: its tables point past its end at {size_bytes} bytes; copy it again from its source", .path.display())]
    Truncated {
        /// The image, by its file.
        path: PathBuf,
        /// Size of the file.
        size_bytes: u64,
    },
    /// Its metadata contradicts itself.
    #[error("{} is corrupt ({found}); copy it again from its source, or repair it: qemu-img check -r all {}", .path.display(), .path.display())]
    Corrupt {
        /// The image, by its file.
        path: PathBuf,
        /// What is wrong.
        found: String,
    },
    /// Whoever wrote to it did not close it.
    #[error("{} was not closed by its last writer, and its reference counts are out of date; repair it: qemu-img check -r all {}", .path.display(), .path.display())]
    Unclean {
        /// The image, by its file.
        path: PathBuf,
    },
    /// It needs what we do not have.
    #[error("{} needs {feature}, which bootstash does not read; write it anew: qemu-img convert -O qcow2 {} plain.qcow2", .path.display(), .path.display())]
    Feature {
        /// The image, by its file.
        path: PathBuf,
        /// What it needs.
        feature: Feature,
    },
    /// No tool writes such a file.
    #[error(
        "{} has {violation}, as no tool writes it: it is damaged, or was made to do harm; \
         copy it again from its source, or write it anew where that can be trusted: qemu-img convert -O qcow2",
        .path.display()
    )]
    Malformed {
        /// The image, by its file.
        path: PathBuf,
        /// What no tool writes.
        violation: FormatViolation,
    },
    /// It cannot be handed to the process that looks at it.
    #[error("cannot serve {} to the process that inspects it; check that {} can be written to", .path.display(), std::env::temp_dir().display())]
    #[class(operator)]
    Serve {
        /// The image, by its file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No disk is of this size.
    #[error("{} is a disk of {virtual_size_bytes} bytes; bootstash takes 512 bytes to 64 TiB", .path.display())]
    Size {
        /// The image, by its file.
        path: PathBuf,
        /// Size of its disk.
        virtual_size_bytes: u64,
    },
    /// Somebody writes to it.
    #[error("{} is in use by a running QEMU; shut that machine down, or register a copy", .path.display())]
    #[class(busy)]
    InUse {
        /// The image, by its file.
        path: PathBuf,
    },
    /// `qemu-img` could not be run, or failed.
    #[error("cannot inspect {}", .path.display())]
    #[class(source)]
    Other {
        /// The image, by its file.
        path: PathBuf,
        /// How the QEMU program failed.
        source: QemuFailure,
    },
}

impl InspectError {
    /// The refusal of the image at `path`, whose file is of `size_bytes`.
    pub(super) fn of(refusal: Refusal, path: &Path, header: &Qcow2Header, size_bytes: u64) -> Self {
        let path = path.to_owned();
        match refusal {
            Refusal::DataFile => Self::DataFile { path },
            Refusal::Backing => Self::Backing { path },
            Refusal::Encrypted => Self::Encrypted { path },
            Refusal::MarkedCorrupt => Self::Corrupt { path, found: "it is marked as corrupt".to_owned() },
            Refusal::Unclean => Self::Unclean { path },
            Refusal::Feature(feature) => Self::Feature { path, feature },
            Refusal::Size => Self::Size { path, virtual_size_bytes: header.virtual_size_bytes },
            Refusal::Malformed(violation) => Self::Malformed { path, violation },
            Refusal::Truncated => Self::Truncated { path, size_bytes },
        }
    }
}
