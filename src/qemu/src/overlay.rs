//! Making overlays: without QEMU, as what is in one that holds nothing is known ([`EmptyOverlay`]). `qemu-img` would
//! start a process for each, and lock bytes of the file, which not all storage has.

use super::{Qemu, run};
use bootstash_base::error::Classified;
use bootstash_base::file_owner::FileOwner;
use bootstash_base::impersonate::ActAs;
use bootstash_base::quoted_path::shown;
use bootstash_disk::qcow2::{EmptyOverlay, OverlayLayoutError};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long making a file, or naming it, may take.
const STORAGE_DEADLINE: Duration = Duration::from_secs(20);

/// An overlay could not be made; nothing of it is left.
#[derive(Debug, thiserror::Error, Classified)]
pub enum OverlayError {
    /// Something is there.
    #[error("{} exists; remove it or give another path", shown(.path))]
    #[class(permanent)]
    Exists {
        /// The overlay.
        path: PathBuf,
    },
    /// Its directory is not there.
    #[error("the directory {} does not exist; create it first", shown(.directory))]
    #[class(permanent)]
    NoDirectory {
        /// The directory, by its absolute path.
        directory: PathBuf,
    },
    /// Its directory cannot be written to.
    #[error("cannot create {}", shown(.path))]
    #[class(operator)]
    Io {
        /// The overlay.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No file can be one.
    #[error("cannot create the overlay {}", shown(.path))]
    #[class(source)]
    Layout {
        /// The overlay.
        path: PathBuf,
        /// Why.
        source: OverlayLayoutError,
    },
}

/// An overlay to make.
#[derive(Clone, Copy, Debug)]
pub struct NewOverlay<'a> {
    /// Its file.
    pub path: &'a Path,
    /// The qcow2 file it chains onto, which is not opened.
    pub backing: &'a Path,
    /// Size of its disk.
    pub virtual_size_bytes: u64,
    /// Who it is to belong to, where that is not who asks.
    pub owner: Option<FileOwner>,
}

impl Qemu {
    /// Makes a qcow2 overlay at `path` (mode 0600) which chains onto the qcow2 file `backing`.
    /// `backing` is not opened. On an error nothing is left, and what was at `path` is untouched.
    ///
    /// # Errors
    /// `Exists` where anything is at `path`, a dangling link included.
    pub async fn create_overlay(
        &self,
        path: &Path,
        backing: &Path,
        virtual_size_bytes: u64,
    ) -> Result<(), OverlayError> {
        let overlay = NewOverlay { path, backing, virtual_size_bytes, owner: None };
        self.create_overlay_with(&ActAs::Ours, overlay).await
    }

    /// The same with the rights of whoever asked: the file is theirs, and is made only where they may.
    ///
    /// # Errors
    /// As [`Self::create_overlay`].
    pub async fn create_overlay_with(
        &self,
        act_as: &ActAs,
        overlay: NewOverlay<'_>,
    ) -> Result<(), OverlayError> {
        let path = run::absolute(overlay.path);
        let empty = EmptyOverlay::new(overlay.virtual_size_bytes, &run::absolute(overlay.backing))
            .map_err(|source| OverlayError::Layout { path: path.clone(), source })?;
        let (named, act_as, owner) = (path.clone(), act_as.clone(), overlay.owner);
        in_time(&path, move || {
            Unfinished::reserve(&named, act_as)?.fill(&empty, &named)?.give(owner, &named)?.finish(&named)
        })
        .await
    }
}

/// The storage may be anybody's, and hang.
async fn in_time<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T, OverlayError> + Send + 'static,
) -> Result<T, OverlayError> {
    let late =
        |why: &str| OverlayError::Io { path: path.to_owned(), source: io::Error::other(why.to_owned()) };
    match tokio::time::timeout(STORAGE_DEADLINE, tokio::task::spawn_blocking(work)).await {
        Ok(Ok(done)) => done,
        Ok(Err(_)) => Err(late("the work broke off")),
        Err(_) => Err(late("its storage does not answer")),
    }
}

/// A file under another name in the same directory, which goes unless it is finished, by the rights it was
/// made with.
struct Unfinished {
    path: Option<tempfile::TempPath>,
    file: File,
    act_as: ActAs,
}

impl Unfinished {
    fn reserve(path: &Path, act_as: ActAs) -> Result<Self, OverlayError> {
        let reserved = act_as.act(|| reserve(path)).map_err(|source| refused(path, source))??;
        let (file, path) = reserved.into_parts();
        Ok(Self { path: Some(path), file, act_as })
    }

    /// Gives it its bytes, and holes where those are zero.
    fn fill(self, empty: &EmptyOverlay, path: &Path) -> Result<Self, OverlayError> {
        write(empty, &self.file).map_err(|source| refused(path, source))?;
        Ok(self)
    }

    /// To whom it is to belong, before it has its name.
    fn give(self, owner: Option<FileOwner>, path: &Path) -> Result<Self, OverlayError> {
        let given = owner.map_or(Ok(()), |owner| owner.give(&self.file));
        given.map_err(|source| refused(path, source))?;
        Ok(self)
    }

    fn finish(mut self, path: &Path) -> Result<(), OverlayError> {
        let Some(unfinished) = self.path.take() else { return Ok(()) };
        let named = self.act_as.act(|| unfinished.persist_noclobber(path).map_err(|error| error.error));
        named.and_then(|named| named).map_err(|source| refused(path, source))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let Some(path) = self.path.take() else { return };
        let mut path = Some(path);
        if self.act_as.act(|| drop(path.take())).is_err() {
            // We do not in the owner's place what the owner cannot.
            drop(path.map(tempfile::TempPath::keep));
        }
    }
}

/// Blocks.
fn write(empty: &EmptyOverlay, to: &File) -> io::Result<()> {
    to.set_len(empty.file_bytes())?;
    empty.write(|piece, at| to.write_all_at(piece, at))?;
    to.sync_all()
}

fn reserve(path: &Path) -> Result<tempfile::NamedTempFile, OverlayError> {
    if path.symlink_metadata().is_ok() {
        return Err(OverlayError::Exists { path: path.to_owned() });
    }
    let directory = path.parent().unwrap_or(Path::new("/"));
    if !directory.is_dir() {
        return Err(OverlayError::NoDirectory { directory: directory.to_owned() });
    }
    let file = tempfile::Builder::new().prefix(".bootstash-overlay-").tempfile_in(directory);
    file.map_err(|source| refused(path, source))
}

fn refused(path: &Path, source: io::Error) -> OverlayError {
    match source.kind() {
        io::ErrorKind::AlreadyExists => OverlayError::Exists { path: path.to_owned() },
        _ => OverlayError::Io { path: path.to_owned(), source },
    }
}
