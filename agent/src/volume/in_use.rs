//! Whether a QEMU has an image open, by the locks it takes on the file.
//!
//! QEMU holds open-file-description locks on single bytes from 100 on (what it does with the image)
//! and from 200 on (what it lets nobody else do) for as long as an image is open, so asking for a
//! write lock over both ranges tells, without taking one.

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const FIRST_BYTE: libc::off_t = 100;
const BYTES: libc::off_t = 200;

/// Whether somebody holds QEMU's locks on the file at `path`.
pub(super) fn is_open_in_qemu(path: &Path) -> io::Result<bool> {
    // What lies there now may be a pipe, which would wait for whoever writes to it.
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = File::options().read(true).custom_flags(flags.bits()).open(path)?;
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
