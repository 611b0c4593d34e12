//! What to do with a disk as its VM starts and ends. Pure.

use super::disk_file::{DiskFile, Lowest};
use super::domain::Unfit;
use crate::failure::{self, CommandError};
use crate::render::guest_text;
use bootstash_base::blocking::BlockingError;
use bootstash_base::error::Chain;
use bootstash_base::names::ImageName;
use bootstash_base::quoted_path::shown;
use bootstash_net::api::{OverlayStatus, PinReply};
use bootstash_qemu::{FindError, InUse, RebaseError};
use std::io;
use std::path::{Path, PathBuf};

/// What to do with a disk before its VM starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// It has no use for a boot cache.
    Nothing,
    /// It is to be made, of this image.
    Make(ImageName),
    /// It is somebody else's.
    Leave(Unfit),
    /// The agent decides which boot cache it gets.
    Pin(Lowest),
}

/// What to do with a disk after its VM ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It was not pinned.
    Nothing,
    /// The boot cache of this overlay may go.
    Unpin(PathBuf),
    /// The overlay is chained onto this boot cache, and goes back onto what lies below.
    PutBack { overlay: PathBuf, cache: PathBuf },
}

/// Why a disk was left as it was.
#[derive(Debug, thiserror::Error)]
pub(super) enum Left {
    #[error("{0}")]
    Unfit(Unfit),
    #[error("there was no answer within {} ms", super::hook::WHOLE.as_millis())]
    Late,
    #[error("its file cannot be read")]
    Look(#[from] io::Error),
    #[error("its storage does not answer")]
    Storage(#[from] BlockingError),
    #[error("the agent sees another chain, which ends in {}", shown(.0))]
    OtherChain(PathBuf),
    #[error(transparent)]
    Agent(#[from] CommandError),
    #[error(transparent)]
    Qemu(#[from] FindError),
    #[error(transparent)]
    Rebase(#[from] RebaseError),
}

impl Left {
    /// On one line, with its causes.
    pub(super) fn in_words(&self) -> String {
        match self {
            Self::Agent(error) => failure::in_words(error),
            other => guest_text(&Chain(other).to_string()),
        }
    }
}

/// Decides by what lies at the disk's path; `image` is what a missing disk is to be made of.
pub(super) fn at_start(file: DiskFile, image: Option<&ImageName>) -> Start {
    match (file, image) {
        (DiskFile::Absent, Some(image)) => Start::Make(image.clone()),
        (DiskFile::Chained(lowest), _) if !lowest.is_as_described => Start::Leave(Unfit::BackingStore),
        (DiskFile::Chained(lowest), _) => Start::Pin(lowest),
        (DiskFile::Absent, None) | (DiskFile::Alone(_), _) => Start::Nothing,
    }
}

/// Whether the header of `lowest` is to name the boot cache that the agent holds for it.
pub(super) fn is_to_be_chained(lowest: &Lowest, reply: &PinReply) -> Result<bool, Left> {
    match reply {
        other if other.overlay.path != lowest.path => Err(Left::OtherChain(other.overlay.path.clone())),
        chained if chained.chained => Ok(false),
        _ => at_rest(lowest).map(|()| true),
    }
}

/// Decides by the agent's records.
pub(super) fn at_end(file: &DiskFile, records: &[OverlayStatus]) -> Result<End, Left> {
    let (path, chained) = match file {
        DiskFile::Absent => return Ok(End::Nothing),
        DiskFile::Alone(path) => (path, None),
        DiskFile::Chained(lowest) => (&lowest.path, Some(lowest)),
    };
    let pin = records.iter().find(|record| record.pinned && record.overlay.path == *path);
    let Some(pin) = pin else { return Ok(End::Nothing) };
    match chained {
        Some(lowest) if lowest.backing.is(&pin.overlay.cache) => {
            at_rest(lowest)?;
            Ok(End::PutBack { overlay: path.clone(), cache: pin.overlay.cache.clone() })
        }
        // It never was, or was flattened.
        _ => Ok(End::Unpin(path.clone())),
    }
}

/// That no QEMU has it open, here or on a node that shares its storage.
fn at_rest(lowest: &Lowest) -> Result<(), Left> {
    let path = lowest.path.clone();
    match lowest.in_use {
        InUse::No => Ok(()),
        InUse::Yes => Err(RebaseError::InUse { path }.into()),
        InUse::Unknown => Err(RebaseError::NoLocks { path }.into()),
    }
}

/// The line that says what became of a disk.
pub(super) fn line(domain: &str, disk: &Path, what: &str) -> String {
    format!("bootstash: {}: {}: {what}", guest_text(domain), shown(disk))
}

#[cfg(test)]
mod tests {
    use super::super::samples::{CACHE, lowest, on_base, on_cache, pinned, reply};
    use super::*;

    const OLD_CACHE: &str = "/views/bs-000007-20261121T101530Z/images/alpine/cache.qcow2";

    #[test]
    fn a_start_pins_what_is_chained_and_makes_what_is_missing_and_named() {
        let alpine: ImageName = "alpine".parse().unwrap();
        assert_eq!(at_start(DiskFile::Absent, None), Start::Nothing);
        assert_eq!(at_start(DiskFile::Alone("/a".into()), Some(&alpine)), Start::Nothing);
        assert_eq!(at_start(DiskFile::Absent, Some(&alpine)), Start::Make(alpine.clone()));
        let low = lowest(on_base(), InUse::Yes);
        assert_eq!(at_start(DiskFile::Chained(low.clone()), Some(&alpine)), Start::Pin(low.clone()));
        let otherwise = DiskFile::Chained(Lowest { is_as_described: false, ..low });
        assert_eq!(at_start(otherwise, None), Start::Leave(Unfit::BackingStore));
    }

    #[test]
    fn a_header_is_changed_only_if_it_must_and_nobody_has_the_file_open() {
        let decided = |in_use, chained| is_to_be_chained(&lowest(on_base(), in_use), &reply(chained));
        assert!(decided(InUse::No, false).unwrap());
        assert!(!decided(InUse::No, true).unwrap());
        // A VM that migrates has its disk open on the node it comes from.
        assert!(!decided(InUse::Yes, true).unwrap());
        assert!(matches!(decided(InUse::Yes, false), Err(Left::Rebase(RebaseError::InUse { .. }))));
        assert!(matches!(decided(InUse::Unknown, false), Err(Left::Rebase(RebaseError::NoLocks { .. }))));
        let mut elsewhere = reply(false);
        elsewhere.overlay.path = "/other".into();
        let decided = is_to_be_chained(&lowest(on_base(), InUse::No), &elsewhere);
        assert!(matches!(decided, Err(Left::OtherChain(_))));
    }

    #[test]
    fn an_end_puts_back_what_was_pinned_and_leaves_all_else() {
        let overlay = || PathBuf::from("/vms/a.qcow2");
        let ended = |backing, record: OverlayStatus| {
            at_end(&DiskFile::Chained(lowest(backing, InUse::No)), &[record]).unwrap()
        };
        let put_back = End::PutBack { overlay: overlay(), cache: CACHE.into() };
        assert_eq!(ended(on_cache(CACHE), pinned(true)), put_back);
        assert_eq!(ended(on_cache(CACHE), pinned(false)), End::Nothing);
        assert_eq!(ended(on_base(), pinned(true)), End::Unpin(overlay()));
        assert_eq!(ended(on_cache(OLD_CACHE), pinned(true)), End::Unpin(overlay()));
        let mut other = pinned(true);
        other.overlay.path = "/other".into();
        assert_eq!(ended(on_cache(CACHE), other), End::Nothing);
        // It was flattened.
        assert_eq!(at_end(&DiskFile::Alone(overlay()), &[pinned(true)]).unwrap(), End::Unpin(overlay()));
        assert_eq!(at_end(&DiskFile::Absent, &[pinned(true)]).unwrap(), End::Nothing);
    }

    #[test]
    fn a_disk_that_runs_elsewhere_after_its_vm_migrated_keeps_its_cache() {
        let ended = |backing, in_use| at_end(&DiskFile::Chained(lowest(backing, in_use)), &[pinned(true)]);
        let on_its_cache = |in_use| ended(on_cache(CACHE), in_use);
        assert!(matches!(on_its_cache(InUse::Yes), Err(Left::Rebase(RebaseError::InUse { .. }))));
        assert!(matches!(on_its_cache(InUse::Unknown), Err(Left::Rebase(RebaseError::NoLocks { .. }))));
        assert!(matches!(ended(on_base(), InUse::Yes), Ok(End::Unpin(_))));
    }

    #[test]
    fn what_is_said_is_one_line() {
        let left = Left::Look(io::Error::other("a\nb\x1b[2J"));
        let text = line("vm\n1", Path::new("/a\nb"), &left.in_words());
        assert_eq!(text, "bootstash: vm 1: $'/a\\nb': its file cannot be read: a b");
    }
}
