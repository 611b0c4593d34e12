//! Whether a QEMU has an overlay open, by the locks it takes on the file.

use bootstash_qemu::InUse;
use nix::fcntl::OFlag;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Whether somebody holds QEMU's locks on the file at `path`.
pub(super) fn in_use(path: &Path) -> io::Result<InUse> {
    in_use_of(&open_path(path)?)
}

/// What lies at `path`, without opening it: that can wait for ever (a pipe), or do something (a device).
pub(super) fn open_path(path: &Path) -> io::Result<File> {
    File::options().read(true).custom_flags(OFlag::O_PATH.bits()).open(path)
}

/// Whether what was found is a file on which somebody holds QEMU's locks.
pub(super) fn in_use_of(found: &File) -> io::Result<InUse> {
    if !found.metadata()?.is_file() {
        return Ok(InUse::No);
    }
    InUse::of(&File::open(format!("/proc/self/fd/{}", found.as_raw_fd()))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_is_not_opened() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for path in [pipe.as_path(), dir.path(), Path::new("/dev/null")] {
            assert_eq!(in_use(path).unwrap(), InUse::No, "{}", path.display());
        }
        // Opened, it would be an error: a process without a terminal has none.
        assert!(File::open("/dev/tty").is_ok() || in_use(Path::new("/dev/tty")).unwrap() == InUse::No);
    }
}
