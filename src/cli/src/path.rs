//! Paths as a daemon needs them: absolute, as it does not share our working directory.

use super::failure::CommandError;
use std::path::{Path, PathBuf};

/// The path with its directory resolved. A link as the last part stays: an operator who registers
/// `current.raw` or makes an overlay there means that name, and the daemon opens it itself.
pub(super) fn absolute(path: &Path) -> Result<PathBuf, CommandError> {
    let resolve = |part: &Path| {
        part.canonicalize().map_err(|source| CommandError::Path { path: path.to_owned(), source })
    };
    let Some(name) = path.file_name() else { return resolve(path) };
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => Ok(resolve(parent)?.join(name)),
        _ => Ok(resolve(Path::new("."))?.join(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolves_the_directory_and_keeps_the_name() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("real")).unwrap();
        std::os::unix::fs::symlink("real", root.join("link")).unwrap();
        std::os::unix::fs::symlink("/elsewhere", root.join("real/current.raw")).unwrap();
        let given = root.join("link/../link/current.raw");
        assert_eq!(absolute(&given).unwrap(), root.join("real/current.raw"));
        assert_eq!(absolute(&root.join("real/..")).unwrap(), root);
    }

    #[test]
    fn a_bare_name_lies_here_and_a_missing_directory_is_named() {
        assert_eq!(absolute(Path::new("a.raw")).unwrap(), std::env::current_dir().unwrap().join("a.raw"));
        let error = absolute(Path::new("/nonexistent/a.raw")).unwrap_err().to_string();
        assert_eq!(error, "cannot find /nonexistent/a.raw");
    }
}
