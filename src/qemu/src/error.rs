//! Errors, a type for each operation.

use bootstash_base::error::Classified;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;
use thiserror::Error;

/// What any call to a QEMU program can meet, and the text of what no type foresees.
#[derive(Debug, Error, Classified)]
pub enum QemuFailure {
    /// The program could not be started.
    #[error("cannot run {}", .program.display())]
    #[class(operator)]
    Spawn {
        /// Its absolute path.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It did not end in time, and was killed.
    #[error("{command} did not end within {} s", .after.as_secs())]
    #[class(transient)]
    Deadline {
        /// The command line.
        command: String,
        /// How long we waited.
        after: Duration,
    },
    /// It said something we have no word for.
    #[error("{command} failed ({status}): {stderr}")]
    #[class(operator)]
    Unexpected {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said, bounded.
        stderr: String,
    },
    /// It answered in a form we cannot read.
    #[error("{command} answered in a form this version cannot read")]
    #[class(operator)]
    Answer {
        /// The command line.
        command: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// QEMU is not installed, or not whole.
#[derive(Debug, Error, Classified)]
#[class(operator)]
pub enum FindError {
    /// A program is missing.
    #[error("{program} is not installed on this host; install it (apt-get install {package})")]
    Missing {
        /// The program.
        program: &'static str,
        /// The Debian package that brings it.
        package: &'static str,
    },
}

/// An overlay could not be made; nothing of it is left.
#[derive(Debug, Error, Classified)]
pub enum OverlayError {
    /// Something is there.
    #[error("{} exists; remove it or give another path", .path.display())]
    #[class(permanent)]
    Exists {
        /// The overlay.
        path: PathBuf,
    },
    /// Its directory is not there.
    #[error("the directory {} does not exist; create it first", .directory.display())]
    #[class(permanent)]
    NoDirectory {
        /// The directory.
        directory: PathBuf,
    },
    /// Its directory cannot be written to.
    #[error("cannot create {}", .path.display())]
    #[class(operator)]
    Io {
        /// The overlay.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Anything else.
    #[error("cannot create the overlay {}", .path.display())]
    #[class(source)]
    Other {
        /// The overlay.
        path: PathBuf,
        /// Why.
        source: QemuFailure,
    },
}

/// A cache's metadata is wrong, or could not be checked.
#[derive(Debug, Error, Classified)]
pub enum CheckError {
    /// It contradicts itself.
    #[error("the qcow2 file {} is corrupt: {found}", .path.display())]
    #[class(permanent)]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        found: String,
    },
    /// Anything else.
    #[error("cannot check {}", .path.display())]
    #[class(source)]
    Other {
        /// The file.
        path: PathBuf,
        /// Why.
        source: QemuFailure,
    },
}

/// A cache does not show the bytes of its base, or could not be compared.
#[derive(Debug, Error, Classified)]
pub enum CompareError {
    /// They differ.
    #[error("{} does not show the bytes of {}: {found}; was the image written to meanwhile?", .cache.display(), .base.display())]
    #[class(permanent)]
    Different {
        /// The cache.
        cache: PathBuf,
        /// Its base.
        base: PathBuf,
        /// Where, as QEMU says it.
        found: String,
    },
    /// They cannot be handed to the process that compares them.
    #[error("cannot serve {} and {} to the process that compares them", .cache.display(), .base.display())]
    #[class(operator)]
    Serve {
        /// The cache.
        cache: PathBuf,
        /// Its base.
        base: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Anything else.
    #[error("cannot compare {} with {}", .cache.display(), .base.display())]
    #[class(source)]
    Other {
        /// The cache.
        cache: PathBuf,
        /// Its base.
        base: PathBuf,
        /// Why.
        source: QemuFailure,
    },
}

/// KVM was demanded and does not work.
#[derive(Debug, Error, Classified)]
#[error("KVM does not work on this host: {why}; mend it, or configure accelerator = \"auto\" or \"tcg\"")]
#[class(operator)]
pub struct AcceleratorError {
    /// What the probe met.
    pub(super) why: String,
}

/// A guest could not be started, or does not obey.
#[derive(Debug, Error, Classified)]
#[class(operator)]
pub enum MachineError {
    /// The program could not be started or waited for.
    #[error("cannot run QEMU")]
    Spawn {
        /// Why.
        source: io::Error,
    },
    /// Its sockets could not be made.
    #[error("cannot make the sockets of a guest")]
    Sockets {
        /// Why.
        source: io::Error,
    },
    /// It ended by an error.
    #[error("QEMU failed ({status}): {stderr}")]
    Died {
        /// How.
        status: ExitStatus,
        /// What it said, bounded.
        stderr: String,
    },
    /// Its control channel broke.
    #[error("QEMU's control channel broke at {command}")]
    #[class(transient)]
    Channel {
        /// What it was asked.
        command: &'static str,
        /// Why.
        source: io::Error,
    },
    /// It did not do what it was told in time.
    #[error("QEMU gave no answer to {command} within {} s", .after.as_secs())]
    #[class(transient)]
    NoAnswer {
        /// What it was asked.
        command: &'static str,
        /// How long we waited.
        after: Duration,
    },
    /// It said no.
    #[error("QEMU refused {command}: {said}")]
    Refused {
        /// What it was asked.
        command: &'static str,
        /// Its words.
        said: String,
    },
}

/// A guest on the terminal did not run.
#[derive(Debug, Error, Classified)]
#[class(operator)]
pub enum ConsoleError {
    /// The program could not be started or ended.
    #[error("cannot boot {}", .overlay.display())]
    Spawn {
        /// The overlay.
        overlay: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// QEMU failed, and said why on standard error.
    #[error("QEMU failed on {} ({status}); its message is above", .overlay.display())]
    Failed {
        /// The overlay.
        overlay: PathBuf,
        /// How it ended.
        status: ExitStatus,
    },
}
