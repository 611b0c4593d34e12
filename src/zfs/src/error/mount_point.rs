//! How a file system is not where its content is looked for.

use bootstash_base::error::Classified;
use bootstash_base::names::DatasetName;
use std::path::PathBuf;
use thiserror::Error;

/// What lies at a path is not the file system that belongs there.
#[derive(Debug, Error, Classified)]
#[class(operator)]
pub enum MountPointError {
    /// It is mounted nowhere, as far as this process sees.
    #[error("{name} is not mounted at {}, where it belongs; mount it there: zfs mount {name}", .path.display())]
    NotMounted {
        /// The file system.
        name: DatasetName,
        /// Where it belongs.
        path: PathBuf,
    },
    /// It is mounted elsewhere.
    #[error(
        "{name} is mounted at {}, and belongs at {path}; have it mounted there: zfs set mountpoint={path} {name}",
        .at.display(), path = .path.display()
    )]
    Elsewhere {
        /// The file system.
        name: DatasetName,
        /// Where it is.
        at: PathBuf,
        /// Where it belongs.
        path: PathBuf,
    },
    /// Something is mounted over it.
    #[error("{by} is mounted over {name} at {path} and hides it; unmount that: umount {path}", path = .path.display())]
    Hidden {
        /// The file system.
        name: DatasetName,
        /// What is mounted over it.
        by: String,
        /// Where it belongs.
        path: PathBuf,
    },
    /// Its place does not answer.
    #[error("{} gave no answer for {seconds} s; does ZFS hang?", .path.display())]
    #[class(transient)]
    NoAnswer {
        /// Where it belongs.
        path: PathBuf,
        /// How long was waited.
        seconds: u64,
    },
}
