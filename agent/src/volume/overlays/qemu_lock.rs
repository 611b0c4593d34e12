//! Whether a QEMU has an image open, by the locks it takes on the file.
//!
//! QEMU holds open-file-description locks on single bytes from 100 on (what it does with the image)
//! and from 200 on (what it lets nobody else do) for as long as an image is open, so asking for a
//! write lock over both ranges tells, without taking one.

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const FIRST_BYTE: libc::off_t = 100;
const BYTES: libc::off_t = 200;

/// Whether somebody holds QEMU's locks on the file at `path`.
pub(super) fn is_open_in_qemu(path: &Path) -> io::Result<bool> {
    is_locked(&open_path(path)?)
}

/// What lies at `path`, without opening it: that can wait for ever (a pipe), or do something (a device).
pub(super) fn open_path(path: &Path) -> io::Result<File> {
    File::options().read(true).custom_flags(OFlag::O_PATH.bits()).open(path)
}

/// Whether what was found is a file on which somebody holds QEMU's locks.
pub(super) fn is_locked(found: &File) -> io::Result<bool> {
    if !found.metadata()?.is_file() {
        return Ok(false);
    }
    let file = File::open(format!("/proc/self/fd/{}", found.as_raw_fd()))?;
    let mut lock = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: FIRST_BYTE,
        l_len: BYTES,
        l_pid: 0,
    };
    fcntl(&file, FcntlArg::F_OFD_GETLK(&mut lock))?;
    Ok(i32::from(lock.l_type) != libc::F_UNLCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_a_lock_where_qemu_puts_it_and_only_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.qcow2");
        std::fs::write(&path, "").unwrap();
        assert!(!is_open_in_qemu(&path).unwrap());
        let holder = File::options().read(true).write(true).open(&path).unwrap();
        lock_byte(&holder, 99);
        assert!(!is_open_in_qemu(&path).unwrap());
        lock_byte(&holder, 201);
        assert!(is_open_in_qemu(&path).unwrap());
        drop(holder);
        assert!(!is_open_in_qemu(&path).unwrap());
    }

    #[test]
    fn what_is_no_file_is_not_opened() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for path in [pipe.as_path(), dir.path(), Path::new("/dev/null")] {
            assert!(!is_open_in_qemu(path).unwrap(), "{}", path.display());
        }
        // Opened, it would be an error: a process without a terminal has none.
        assert!(File::open("/dev/tty").is_ok() || !is_open_in_qemu(Path::new("/dev/tty")).unwrap());
    }

    fn lock_byte(file: &File, byte: libc::off_t) {
        let lock = libc::flock {
            l_type: libc::F_RDLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: byte,
            l_len: 1,
            l_pid: 0,
        };
        fcntl(file, FcntlArg::F_OFD_SETLK(&lock)).unwrap();
    }
}
