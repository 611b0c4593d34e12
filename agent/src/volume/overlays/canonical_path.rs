//! One spelling for an overlay's path, whatever links and dots it was given with.

use std::path::{Path, PathBuf};

/// The path with its directory resolved; none where it is relative or names no file.
pub(super) fn canonical(path: &Path) -> Option<PathBuf> {
    let (directory, file) = (path.parent()?, path.file_name()?);
    if !path.is_absolute() {
        return None;
    }
    let directory = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
    Some(directory.join(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_dots_lead_to_one_spelling() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap().join("real");
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, dir.path().join("link")).unwrap();
        for spelling in ["real/a.qcow2", "link/a.qcow2", "real/../link/./a.qcow2"] {
            assert_eq!(canonical(&dir.path().join(spelling)), Some(real.join("a.qcow2")), "{spelling}");
        }
        assert_eq!(canonical(Path::new("/no/such/a")), Some("/no/such/a".into()));
        for refused in ["a.qcow2", "/", "/vms/.."] {
            assert_eq!(canonical(Path::new(refused)), None, "{refused}");
        }
    }
}
