//! Whether somebody writes to an image: QEMU says so by locks on its file, and we read them as QEMU does.

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use std::fs::File;
use std::io;

/// Bytes that a QEMU locks which may write, and which may change the size: `RAW_LOCK_PERM_BASE` and the numbers
/// of the permissions, in QEMU's block/file-posix.c.
const WRITES: libc::off_t = 101;
const RESIZES: libc::off_t = 103;

/// Whether another process has the right to write to `file`. Where its file system has no locks, nobody can
/// tell, and the answer is no.
pub(super) fn is_written(file: &File) -> io::Result<bool> {
    Ok(is_locked(file, WRITES)? || is_locked(file, RESIZES)?)
}

fn is_locked(file: &File, byte: libc::off_t) -> io::Result<bool> {
    let mut lock = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: byte,
        l_len: 1,
        l_pid: 0,
    };
    match fcntl(file, FcntlArg::F_OFD_GETLK(&mut lock)) {
        Ok(_) => Ok(lock.l_type != libc::F_UNLCK as libc::c_short),
        Err(Errno::ENOLCK | Errno::EOPNOTSUPP) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}
