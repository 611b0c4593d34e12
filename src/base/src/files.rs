//! Small files that hold what a daemon must still know after a restart, each replaced as a whole.
//!
//! Promises: after a crash the file is that of before or the new one; what the crash left beside it
//! is overwritten by the next, and swept at the next start.

use crate::kill_point::{KillPoint, kill_point};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Names of files that are being written end so.
const UNFINISHED: &str = ".unfinished";

/// Writes `bytes` through to the disk as the file at `path`, in place of what is there. One writer at a
/// time. Blocking, short.
///
/// # Errors
/// What the file system says; the file is then as it was.
pub fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, bytes, 0o666)
}

/// The same for what nobody but the owner may read, at no moment.
///
/// # Errors
/// What the file system says; the file is then as it was.
pub fn replace_secret_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, bytes, 0o600)
}

fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let unfinished = unfinished(path);
    // One that a crash left has the mode of its time.
    drop(std::fs::remove_file(&unfinished));
    let mut file = File::options().write(true).create_new(true).mode(mode).open(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    kill_point(KillPoint::StateWritten);
    std::fs::rename(&unfinished, path)?;
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

/// Removes what a crash left unfinished in `dir`; returns how many files. Blocking, short.
///
/// # Errors
/// What the file system says.
pub fn sweep_files(dir: &Path) -> io::Result<usize> {
    let mut swept = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().ends_with(UNFINISHED.as_bytes()) {
            std::fs::remove_file(entry.path())?;
            swept += 1;
        }
    }
    Ok(swept)
}

fn unfinished(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(UNFINISHED);
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_the_whole_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("nodes.json");
        for text in ["a long one", "short"] {
            replace_file(&file, text.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_crash_left_is_swept_and_only_that() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("nodes.json");
        std::fs::write(&file, "whole").unwrap();
        std::fs::write(unfinished(&file), "ha").unwrap();
        assert_eq!(sweep_files(dir.path()).unwrap(), 1);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "whole");
        assert_eq!(sweep_files(dir.path()).unwrap(), 0);
    }
}
