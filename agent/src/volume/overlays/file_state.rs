//! Whether an overlay's file is present, missing, or on storage that cannot be reached. Blocks.
//!
//! Promises: a file is missing only where the storage that held it is seen without it.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What the storage of a file says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileState {
    /// At its path.
    Present,
    /// Nowhere: its storage is there without it.
    Missing,
    /// Its storage is not there, or does not let itself be looked at.
    Unreachable,
}

impl FileState {
    /// Where the file at `path` is, which was on what was mounted at `mount_point`, as far as that is known.
    pub(super) fn of(path: &Path, mount_point: Option<&Path>) -> Self {
        match path.symlink_metadata() {
            Ok(_) => Self::Present,
            Err(error) if is_absence(&error) && storage_is_there(path, mount_point) => Self::Missing,
            Err(_) => Self::Unreachable,
        }
    }
}

/// Where the storage of a directory is mounted. The path has no links in it.
///
/// # Errors
/// What looking at it met.
pub(super) fn mount_point(directory: &Path) -> io::Result<PathBuf> {
    let device = directory.metadata()?.dev();
    let mut root = directory;
    while let Some(parent) = root.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        if parent.metadata()?.dev() != device {
            break;
        }
        root = parent;
    }
    Ok(root.to_owned())
}

/// Without the storage its mount point is empty or gone, and another holds what is left of the path.
/// A VM's directory that went with the VM leaves the storage where it was.
fn storage_is_there(path: &Path, noted: Option<&Path>) -> bool {
    let Some(noted) = noted else { return path.parent().is_some_and(Path::is_dir) };
    let left = path.ancestors().skip(1).find(|ancestor| ancestor.is_dir());
    left.and_then(|left| mount_point(left).ok()).is_some_and(|now| now == noted)
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_is_missing_only_where_its_storage_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let (vm, mounted) = (root.join("vm"), mount_point(&root).unwrap());
        fs::create_dir(&vm).unwrap();
        let path = vm.join("a.qcow2");
        fs::write(&path, "").unwrap();
        assert_eq!(FileState::of(&path, Some(&mounted)), FileState::Present);
        fs::remove_file(&path).unwrap();
        assert_eq!(FileState::of(&path, Some(&mounted)), FileState::Missing);
        assert_eq!(FileState::of(&path, None), FileState::Missing);
        // Noted on storage that was mounted there, and is not.
        for elsewhere in [&vm, &root] {
            assert_eq!(FileState::of(&path, Some(elsewhere)), FileState::Unreachable);
        }
        fs::remove_dir(&vm).unwrap();
        assert_eq!(
            FileState::of(&path, Some(&mounted)),
            FileState::Missing,
            "the directory went with the VM"
        );
        assert_eq!(FileState::of(&path, Some(&vm)), FileState::Unreachable);
        assert_eq!(FileState::of(&path, None), FileState::Unreachable, "nobody knows what was mounted there");
    }

    #[test]
    fn what_cannot_be_looked_at_is_not_missing() {
        let dir = tempfile::tempdir().unwrap();
        let long = dir.path().join("x".repeat(300));
        assert_eq!(FileState::of(&long, Some(&mount_point(dir.path()).unwrap())), FileState::Unreachable);
    }

    #[test]
    fn a_mount_point_is_where_the_device_begins() {
        assert_eq!(mount_point(Path::new("/proc/self/fd")).unwrap(), Path::new("/proc"));
        assert_eq!(mount_point(Path::new("/")).unwrap(), Path::new("/"));
    }
}
