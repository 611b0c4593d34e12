//! What capturing and verifying can meet.

use super::detect::Failure;
use bootstash_base::error::Classified;
use bootstash_disk::BaseReadError;
use bootstash_disk::firmware::Firmware;
use bootstash_disk::qcow2::LayoutError;
use bootstash_qemu::{
    AcceleratorError, CheckError, CompareError, Fatal, InspectCacheError, MachineError, OpenDiskError,
    OverlayError,
};
use std::fmt;
use std::io;
use std::path::PathBuf;

/// An image was not captured; nothing of the attempt is left.
#[derive(Debug, thiserror::Error, Classified)]
pub enum CaptureError {
    /// It did not come up.
    #[error(
        "{} did not boot (boot {boot}, by {firmware}{}): {failure}{}; {}",
        .path.display(), Tries(.tries), Otherwise(*.firmware, .failure), Console(.console)
    )]
    #[class(permanent)]
    NeverBooted {
        /// The image, by its file.
        path: PathBuf,
        /// Which boot, from 1.
        boot: u32,
        /// What booted it.
        firmware: Firmware,
        /// How often that boot was tried.
        tries: u32,
        /// What ended the boot before it was complete.
        failure: Failure,
        /// The last lines of its console, oldest first.
        console: Vec<String>,
    },
    /// Whoever asked for it wants it no more.
    #[error("the capture of {} was cancelled", .path.display())]
    #[class(cancelled)]
    Cancelled {
        /// The image, by its file.
        path: PathBuf,
    },
    /// KVM was demanded and does not work.
    #[error(transparent)]
    #[class(source)]
    Accelerator(#[from] AcceleratorError),
    /// The image could not be opened.
    #[error(transparent)]
    #[class(source)]
    Open(#[from] OpenDiskError),
    /// The cache to adopt was refused.
    #[error(transparent)]
    #[class(source)]
    Foreign(#[from] InspectCacheError),
    /// The image, or the cache to adopt, could not be read through.
    #[error("cannot read {}", .path.display())]
    #[class(operator)]
    Scan {
        /// The file, by its path.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The work directory cannot be used.
    #[error("cannot work in {}; check that it is writable and has space", .dir.display())]
    #[class(operator)]
    Scratch {
        /// The directory, by its absolute path.
        dir: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The guest's overlay could not be made.
    #[error(transparent)]
    #[class(source)]
    Overlay(#[from] OverlayError),
    /// The guest could not be run.
    #[error("cannot run boot {boot} of {}{}", .path.display(), Tries(.tries))]
    #[class(source)]
    Machine {
        /// The image, by its file.
        path: PathBuf,
        /// Which boot, from 1.
        boot: u32,
        /// How often it was tried.
        tries: u32,
        /// The error that caused it.
        source: MachineError,
    },
    /// No cache of this image can be laid out.
    #[error(transparent)]
    #[class(source)]
    Layout(#[from] LayoutError),
    /// The cache could not be written.
    #[error("cannot write {}; check that its file system has space", .path.display())]
    #[class(operator)]
    Write {
        /// The cache.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl CaptureError {
    /// Whether another try of the boot may come up, where others of the image came up or did not.
    pub(super) fn may_be_chance(&self, others_came_up: bool) -> bool {
        match self {
            Self::NeverBooted { failure: Failure::Fatal(why), .. } => why.may_be_chance(),
            // An image that never was up in time needs more time, or says nothing; a second try would not help it.
            Self::NeverBooted { failure: Failure::Limit(_), .. } => others_came_up,
            Self::Machine { source, .. } => matches!(
                source,
                MachineError::Died { .. } | MachineError::Channel { .. } | MachineError::NoAnswer { .. }
            ),
            _ => false,
        }
    }

    /// The failure of the second try.
    pub(super) fn tried_twice(self) -> Self {
        match self {
            Self::NeverBooted { path, boot, firmware, failure, console, .. } => {
                Self::NeverBooted { path, boot, firmware, tries: 2, failure, console }
            }
            Self::Machine { path, boot, source, .. } => Self::Machine { path, boot, tries: 2, source },
            other => other,
        }
    }
}

/// How often, where it was more than once.
struct Tries<'a>(&'a u32);

impl fmt::Display for Tries<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self.0 > 1 { f.write_str(", tried twice") } else { Ok(()) }
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
            Self::Fatal(why) => why.fmt(f),
            Self::RestartLoop(count) => write!(f, "it restarts in a loop: {count} times without staying up"),
            Self::Ended => f.write_str("it powered itself off"),
        }
    }
}

/// What to try where an image may boot by the other firmware.
struct Otherwise<'a>(Firmware, &'a Failure);

impl fmt::Display for Otherwise<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let other = match self.0 {
            Firmware::Bios => Firmware::Uefi,
            Firmware::Uefi => Firmware::Bios,
        };
        match self.1 {
            Failure::Fatal(Fatal::NothingToBoot) | Failure::Limit(_) => {
                write!(f, " (if its VMs boot by {other}: --firmware {})", other.as_str())
            }
            _ => Ok(()),
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
#[derive(Debug, thiserror::Error, Classified)]
pub enum VerifyError {
    /// The base is not what was inspected.
    #[error("{} was written to while it was being registered; register it again when nobody does", .path.display())]
    #[class(permanent)]
    Changed {
        /// The image, by its file.
        path: PathBuf,
    },
    /// The base could not be looked at.
    #[error(transparent)]
    #[class(source)]
    Base(#[from] BaseReadError),
    /// Its metadata is wrong.
    #[error(transparent)]
    #[class(source)]
    Check(#[from] CheckError),
    /// Its bytes are not the base's.
    #[error(transparent)]
    #[class(source)]
    Compare(#[from] CompareError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn said(firmware: Firmware, failure: Failure) -> String {
        let path = "/srv/a.raw".into();
        CaptureError::NeverBooted { path, boot: 1, firmware, tries: 1, failure, console: Vec::new() }
            .to_string()
    }

    #[test]
    fn the_other_firmware_is_named_where_it_may_help() {
        let nothing = said(Firmware::Bios, Failure::Fatal(Fatal::NothingToBoot));
        assert!(nothing.contains("(boot 1, by BIOS)") && nothing.contains("--firmware uefi"), "{nothing}");
        let limit = said(Firmware::Uefi, Failure::Limit(Duration::from_secs(600)));
        assert!(limit.contains("by UEFI)") && limit.contains("--firmware bios"), "{limit}");
        assert!(!said(Firmware::Bios, Failure::Fatal(Fatal::KernelPanic)).contains("--firmware"));
    }

    fn never_booted(failure: Failure) -> CaptureError {
        let (path, firmware) = ("/a.raw".into(), Firmware::Bios);
        CaptureError::NeverBooted { path, boot: 2, firmware, tries: 1, failure, console: Vec::new() }
    }

    fn machine(source: MachineError) -> CaptureError {
        CaptureError::Machine { path: "/a.raw".into(), boot: 2, tries: 1, source }
    }

    #[test]
    fn panics_dead_machines_and_a_late_boot_of_an_image_that_comes_up_may_be_chance() {
        let late = || never_booted(Failure::Limit(Duration::from_secs(600)));
        let no_answer =
            MachineError::NoAnswer { command: "query-blockstats", after: Duration::from_secs(20) };
        let chance = [never_booted(Failure::Fatal(Fatal::KernelPanic)), late(), machine(no_answer)];
        assert!(chance.iter().all(|failure| failure.may_be_chance(true)));
        assert!(!late().may_be_chance(false));
        let refused = MachineError::Refused { command: "quit", said: "no".to_owned() };
        let certain = [
            never_booted(Failure::Fatal(Fatal::InitialRamDisk)),
            never_booted(Failure::RestartLoop(4)),
            never_booted(Failure::Ended),
            machine(refused),
        ];
        assert!(!certain.iter().any(|failure| failure.may_be_chance(true)));
    }

    #[test]
    fn an_error_says_that_it_was_tried_twice() {
        let once = never_booted(Failure::Fatal(Fatal::KernelPanic));
        assert!(once.to_string().contains("(boot 2, by BIOS): its kernel panicked"), "{once}");
        let twice = once.tried_twice();
        assert!(twice.to_string().contains("(boot 2, by BIOS, tried twice): its kernel panicked"), "{twice}");
        let refused = || machine(MachineError::Refused { command: "quit", said: "no".to_owned() });
        assert_eq!(refused().to_string(), "cannot run boot 2 of /a.raw");
        assert_eq!(refused().tried_twice().to_string(), "cannot run boot 2 of /a.raw, tried twice");
    }
}
