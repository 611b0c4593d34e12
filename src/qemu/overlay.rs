//! Making overlays.

use super::run::{self, Limits};
use super::{OverlayError, Qemu};
use std::io;
use std::path::Path;

/// 128 KiB clusters of 32 subclusters: a guest's 4 KiB write then fills nothing from the backing
/// chain. With plain clusters it would read the rest of the cluster from the base.
const LAYOUT: &str = "cluster_size=128k,extended_l2=on";

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
        let (path, backing) = (run::absolute(path), run::absolute(backing));
        let unfinished = reserve(&path)?;
        let args = run::args([
            &"create",
            &"-q",
            &"-u",
            &"-f",
            &"qcow2",
            &"-o",
            &LAYOUT,
            &"-F",
            &"qcow2",
            &"-b",
            &backing,
            &"--",
            &unfinished,
            &virtual_size_bytes.to_string(),
        ]);
        let other = |source| OverlayError::Other { path: path.clone(), source };
        let finished = run::qemu_img(self.programs(), &args, Limits::METADATA).await.map_err(other)?;
        if !finished.status.success() {
            return Err(other(finished.unexpected()));
        }
        unfinished.persist_noclobber(&path).map_err(|error| refused(&path, error.error))
    }
}

/// A file under another name in the same directory, removed unless it is made whole.
fn reserve(path: &Path) -> Result<tempfile::TempPath, OverlayError> {
    if path.symlink_metadata().is_ok() {
        return Err(OverlayError::Exists { path: path.to_owned() });
    }
    let directory = path.parent().unwrap_or(Path::new("/"));
    if !directory.is_dir() {
        return Err(OverlayError::NoDirectory { directory: directory.to_owned() });
    }
    let file = tempfile::Builder::new().prefix(".bootstash-overlay-").tempfile_in(directory);
    file.map(tempfile::NamedTempFile::into_temp_path).map_err(|source| refused(path, source))
}

fn refused(path: &Path, source: io::Error) -> OverlayError {
    match source.kind() {
        io::ErrorKind::AlreadyExists => OverlayError::Exists { path: path.to_owned() },
        _ => OverlayError::Io { path: path.to_owned(), source },
    }
}
