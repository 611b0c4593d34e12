//! What any call to ZFS can meet, whichever way it goes: through a program or straight into the kernel.

use bootstash_base::error::{Classified, ErrorClass};
use nix::errno::Errno;
use std::io;
use std::time::Duration;
use thiserror::Error;

/// What any call to ZFS can meet, and the text of what no type foresees.
#[derive(Debug, Error, Classified)]
#[class(operator)]
pub enum ZfsFailure {
    /// The program could not be started.
    #[error("cannot run {program}")]
    Spawn {
        /// Its absolute path.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// No answer in time. A program was told to end; a call into the kernel cannot be ended, and may
    /// yet do what it was asked.
    #[error("{command} gave no answer for {} s", .after.as_secs())]
    #[class(transient)]
    Deadline {
        /// The command line, or the call.
        command: String,
        /// How long we waited.
        after: Duration,
    },
    /// Somebody killed the program; that says nothing of what it was asked, and the next may live.
    #[error("{command} was killed by signal {signal}")]
    #[class(transient)]
    Killed {
        /// The command line.
        command: String,
        /// The signal's number.
        signal: i32,
    },
    /// The daemon or kernel module is not there.
    #[error("{command}: ZFS is not running: {stderr}")]
    #[class(transient)]
    Unavailable {
        /// The command line.
        command: String,
        /// What it said.
        stderr: String,
    },
    /// It said something we have no word for.
    #[error("{command} failed: {stderr}")]
    Unexpected {
        /// The command line, or the call.
        command: String,
        /// What it said, bounded.
        stderr: String,
    },
    /// The kernel refused a call that was made to it without a program.
    #[error("{call} was refused{}", remedy(.source))]
    #[class(with = of_refusal)]
    Refused {
        /// The call and what it was about.
        call: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// It answered in a form we cannot read.
    #[error("{command} answered {got:?}, which is no {wanted}")]
    Answer {
        /// The command line.
        command: String,
        /// The part that was not understood.
        got: String,
        /// What was looked for.
        wanted: &'static str,
    },
}

/// Of what ZFS refuses, only "in use" passes by itself.
fn of_refusal(failure: &ZfsFailure) -> ErrorClass {
    if failure.errno() == Some(Errno::EBUSY) { ErrorClass::Busy } else { ErrorClass::Operator }
}

impl ZfsFailure {
    /// The kernel's number for why it refused; none where it was not asked, or did not answer.
    pub(super) fn errno(&self) -> Option<Errno> {
        match self {
            Self::Refused { source, .. } => source.raw_os_error().map(Errno::from_raw),
            _ => None,
        }
    }
}

/// What an operator can do where the kernel has only a number.
fn remedy(source: &io::Error) -> &'static str {
    match source.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOSPC) => "; the pool is full: free some space or add a disk",
        Some(Errno::EDQUOT) => "; a quota is reached: raise it (zfs set quota=)",
        Some(Errno::EXDEV | Errno::ENODEV) => {
            "; it does not start from an earlier snapshot of the same file system"
        }
        Some(Errno::EBUSY) => "; it is in use",
        Some(Errno::EPERM | Errno::EACCES) => "; run the daemon as root",
        Some(Errno::ENOTSUP) => "; upgrade the pool (zpool upgrade)",
        Some(Errno::EIO | Errno::ENXIO) => "; look at the pool's health (zpool status)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bootstash_base::error::Chain;

    fn refused(errno: Errno) -> ZfsFailure {
        let source = io::Error::from_raw_os_error(errno as i32);
        ZfsFailure::Refused { call: "libzfs_core send tank/a@b".to_owned(), source }
    }

    #[test]
    fn a_refusal_names_call_remedy_and_cause() {
        let failure = refused(Errno::EXDEV);
        assert_eq!(failure.errno(), Some(Errno::EXDEV));
        assert_eq!(
            Chain(&failure).to_string(),
            "libzfs_core send tank/a@b was refused; it does not start from an earlier snapshot of the same \
             file system: Invalid cross-device link (os error 18)"
        );
    }

    #[test]
    fn only_what_is_in_use_is_waited_for() {
        assert_eq!(refused(Errno::EBUSY).kind(), ErrorClass::Busy);
        assert_eq!(refused(Errno::EDQUOT).kind(), ErrorClass::Operator);
    }
}
