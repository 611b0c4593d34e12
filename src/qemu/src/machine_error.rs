//! How a guest fails that is driven over its control channel.

use super::FirmwareError;
use bootstash_base::error::Classified;
use std::io;
use std::process::ExitStatus;
use std::time::Duration;

/// A guest could not be started, or does not obey.
#[derive(Debug, thiserror::Error, Classified)]
#[class(operator)]
pub enum MachineError {
    /// The program could not be started or waited for.
    #[error("cannot run QEMU")]
    Spawn {
        /// What the system said.
        source: io::Error,
    },
    /// Its sockets could not be made.
    #[error("cannot make the sockets of a guest")]
    Sockets {
        /// What the system said.
        source: io::Error,
    },
    /// There is nothing to boot it with.
    #[error(transparent)]
    #[class(source)]
    Firmware(#[from] FirmwareError),
    /// Its seed of cloud-init could not be written.
    #[error("cannot write a guest's seed of cloud-init; check that the state directory has space")]
    Seed {
        /// What the system said.
        source: io::Error,
    },
    /// It ended by an error.
    #[error("QEMU failed ({status}): {stderr}")]
    Died {
        /// Its exit status, or the signal that ended it.
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
        /// What the system said.
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
