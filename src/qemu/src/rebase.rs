//! What an overlay is chained onto: reading it, and naming another file in its header (`qemu-img rebase -u`).
//!
//! Promises: no file that a header names is opened; of an overlay its header alone is written, and owner, mode, atime
//! and mtime stay. Where a process that is killed leaves it is one of the two: QEMU writes the header's cluster with one
//! call, and what differs lies in its first 4 KiB, which the kernel takes whole.
//!
//! The files may lie on storage that hangs: a program of its own looks at them, so that we need not wait for it.

use super::in_use::InUse;
use super::run::{self, Limits};
use super::{Qemu, QemuFailure};
use bootstash_base::blocking::{BlockingError, BlockingPool};
use bootstash_base::error::Classified;
use bootstash_base::quoted_path::shown;
use bootstash_disk::ImageFormat;
use bootstash_disk::qcow2::header::{self, DATA_FILE, HEADER_BYTES};
use nix::fcntl::OFlag;
use nix::sys::stat::futimens;
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchown};
use serde::Deserialize;
use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// How long a file may take to be opened, or to get its times back.
const STORAGE_DEADLINE: Duration = Duration::from_secs(20);
const MODE_BITS: u32 = 0o7777;

/// What a file is chained onto.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backing {
    /// As it stands in the header.
    pub path: PathBuf,
    /// Its format.
    pub format: ImageFormat,
}

/// A header was not read, or not changed.
#[derive(Debug, thiserror::Error, Classified)]
pub enum RebaseError {
    /// A VM runs on it.
    #[error("a QEMU has {} open", shown(.path))]
    #[class(busy)]
    InUse {
        /// The overlay.
        path: PathBuf,
    },
    /// A VM may run on it.
    #[error("the storage of {} has no byte-range locks, so that whether a QEMU has it open cannot be told", shown(.path))]
    #[class(operator)]
    NoLocks {
        /// The overlay.
        path: PathBuf,
    },
    /// QEMU would open another file, or need a secret.
    #[error("{} is encrypted, keeps its data in another file, or is no qcow2 file", shown(.path))]
    #[class(permanent)]
    Unfit {
        /// The overlay.
        path: PathBuf,
    },
    /// Its header does not say it.
    #[error("{} does not say what it is chained onto, and of which format that is", shown(.path))]
    #[class(permanent)]
    Unnamed {
        /// The file.
        path: PathBuf,
    },
    /// The file itself.
    #[error("cannot open {}, or keep its owner and times", shown(.path))]
    #[class(operator)]
    Io {
        /// The overlay.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Its storage.
    #[error("the storage of {} does not answer", shown(.path))]
    #[class(source)]
    Storage {
        /// The overlay.
        path: PathBuf,
        /// Why not.
        source: BlockingError,
    },
    /// `qemu-img` could not be run, or failed.
    #[error("cannot change or read the header of {}", shown(.path))]
    #[class(source)]
    Other {
        /// The file.
        path: PathBuf,
        /// How the QEMU program failed.
        source: QemuFailure,
    },
}

/// What `qemu-img info` says of a chain's next file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Info {
    backing_filename: Option<String>,
    backing_filename_format: Option<String>,
}

impl Qemu {
    /// What the qcow2 file at `path` is chained onto.
    ///
    /// # Errors
    /// `Unnamed` where its header does not say both, or not in UTF-8.
    pub async fn backing_of(&self, path: &Path) -> Result<Backing, RebaseError> {
        let path = run::absolute(path);
        let other = |source| RebaseError::Other { path: path.clone(), source };
        let args = run::args([&"info", &"-U", &"-f", &"qcow2", &"--output=json", &"--", &path]);
        let finished = run::qemu_img(self.programs(), &args, Limits::METADATA).await.map_err(other)?;
        if !finished.status.success() {
            return Err(other(finished.unexpected()));
        }
        let info = serde_json::from_slice::<Info>(&finished.stdout)
            .map_err(|source| other(QemuFailure::Answer { command: finished.command, source }))?;
        named(info).ok_or(RebaseError::Unnamed { path })
    }

    /// Has the header of the overlay at `path`, which no QEMU may have open, name `backing`. That is not opened: whether
    /// it shows the same bytes is for the caller to know.
    ///
    /// # Errors
    /// The overlay is then as it was; after `Io` it may name `backing`, with other times.
    pub async fn rebase(&self, path: &Path, backing: &Backing) -> Result<(), RebaseError> {
        let path = run::absolute(path);
        let kept = in_time(&path, {
            let path = path.clone();
            move || Kept::of(&path)
        })
        .await?;
        let args = rebase_args(&path, backing);
        let other = |source| RebaseError::Other { path: path.clone(), source };
        let finished = run::qemu_img(self.programs(), &args, Limits::METADATA).await.map_err(other)?;
        let (success, at) = (finished.status.success(), path.clone());
        // Also of a file that was only opened.
        let restored = in_time(&path, move || kept.restore(&at)).await;
        match success {
            true => restored,
            // It came between.
            false if finished.stderr.contains(" lock") => Err(RebaseError::InUse { path }),
            false => Err(other(finished.unexpected())),
        }
    }
}

/// A name that is no UTF-8 comes with replacement characters in it, and is another one.
fn named(info: Info) -> Option<Backing> {
    let path = info.backing_filename.filter(|path| !path.contains(char::REPLACEMENT_CHARACTER))?;
    Some(Backing { path: path.into(), format: info.backing_filename_format?.parse().ok()? })
}

fn rebase_args(path: &Path, backing: &Backing) -> Vec<OsString> {
    let format = backing.format.as_str();
    run::args([&"rebase", &"-q", &"-u", &"-f", &"qcow2", &"-F", &format, &"-b", &backing.path, &"--", &path])
}

async fn in_time<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T, RebaseError> + Send + 'static,
) -> Result<T, RebaseError> {
    let done = BlockingPool::new("overlay-file", 1).run(Instant::now() + STORAGE_DEADLINE, work).await;
    done.map_err(|source| RebaseError::Storage { path: path.to_owned(), source })?
}

/// Whether QEMU opens no other file but that which it is chained onto, of which it is told not to.
fn keeps_to_itself(file: &File) -> io::Result<bool> {
    let mut start = Vec::with_capacity(HEADER_BYTES);
    file.take(HEADER_BYTES as u64).read_to_end(&mut start)?;
    let header = header::parse(&start);
    Ok(header.is_some_and(|header| !header.has(DATA_FILE) && header.crypt_method == 0))
}

/// What of a file is to stay.
struct Kept {
    file: File,
    metadata: Metadata,
}

impl Kept {
    fn of(path: &Path) -> Result<Self, RebaseError> {
        let io = |source| RebaseError::Io { path: path.to_owned(), source };
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let file = File::options().read(true).custom_flags(flags.bits()).open(path).map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        if !keeps_to_itself(&file).map_err(io)? {
            return Err(RebaseError::Unfit { path: path.to_owned() });
        }
        match InUse::of(&file).map_err(io)? {
            InUse::No => Ok(Self { file, metadata }),
            InUse::Yes => Err(RebaseError::InUse { path: path.to_owned() }),
            InUse::Unknown => Err(RebaseError::NoLocks { path: path.to_owned() }),
        }
    }

    fn restore(&self, path: &Path) -> Result<(), RebaseError> {
        self.give_back().map_err(|source| RebaseError::Io { path: path.to_owned(), source })
    }

    /// Owner first, as changing it takes bits of the mode away; times last.
    fn give_back(&self) -> io::Result<()> {
        let (was, now) = (&self.metadata, self.file.metadata()?);
        if (was.uid(), was.gid()) != (now.uid(), now.gid()) {
            fchown(&self.file, Some(Uid::from_raw(was.uid())), Some(Gid::from_raw(was.gid())))?;
        }
        if was.mode() & MODE_BITS != self.file.metadata()?.mode() & MODE_BITS {
            self.file.set_permissions(was.permissions())?;
        }
        let (read, written) =
            (TimeSpec::new(was.atime(), was.atime_nsec()), TimeSpec::new(was.mtime(), was.mtime_nsec()));
        Ok(futimens(&self.file, &read, &written)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bootstash_disk::qcow2::hostile::Hostile;

    #[test]
    fn a_header_that_leads_to_other_files_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.qcow2");
        let refused = |bytes: Vec<u8>| {
            std::fs::write(&path, bytes).unwrap();
            matches!(Kept::of(&path), Err(RebaseError::Unfit { .. }))
        };
        assert!(!refused(Hostile::default().bytes()));
        assert!(refused(Hostile::default().put64(72, DATA_FILE).bytes()));
        assert!(refused(Hostile::default().put32(32, 2).bytes()));
        assert!(refused(b"no qcow2".to_vec()));
    }

    #[test]
    fn a_backing_file_has_a_name_and_a_format_or_is_none() {
        let of = |path: Option<&str>, format: Option<&str>| {
            let owned = |text: Option<&str>| text.map(str::to_owned);
            named(Info { backing_filename: owned(path), backing_filename_format: owned(format) })
        };
        let raw = Backing { path: "/srv/a.raw".into(), format: ImageFormat::Raw };
        assert_eq!(of(Some("/srv/a.raw"), Some("raw")), Some(raw));
        assert_eq!(of(Some("/srv/a.raw"), None), None);
        assert_eq!(of(None, Some("raw")), None);
        assert_eq!(of(Some("/srv/a.img"), Some("qed")), None);
        assert_eq!(of(Some("/srv/\u{fffd}.raw"), Some("raw")), None);
    }

    #[test]
    fn what_is_kept_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.qcow2");
        std::fs::write(&path, Hostile::default().bytes()).unwrap();
        let before = path.metadata().unwrap();
        let kept = Kept::of(&path).unwrap();
        std::fs::write(&path, "another").unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o400)).unwrap();
        kept.restore(&path).unwrap();
        let after = path.metadata().unwrap();
        assert_eq!((after.mode(), after.mtime_nsec()), (before.mode(), before.mtime_nsec()));
        assert_eq!((after.mtime(), after.atime_nsec()), (before.mtime(), before.atime_nsec()));
    }
}
