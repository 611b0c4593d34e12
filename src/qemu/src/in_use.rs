//! Whether a QEMU uses an image: QEMU says so by locks on the image's file, and we read them as QEMU does.
//!
//! QEMU holds open-file-description locks on single bytes from 100 on (what it does with the image) and from 200 on (what
//! it lets nobody else do) for as long as an image is open. Asking whether a write lock could be had tells, without
//! taking one. Where storage has no such locks nobody can tell, and the answer says that.

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use std::fs::File;
use std::io;
use std::ops::Range;

/// All bytes that QEMU locks: `RAW_LOCK_PERM_BASE` and `RAW_LOCK_SHARED_BASE`, in its block/file-posix.c.
const ALL: Range<libc::off_t> = 100..300;
/// Locked by one that may write: the first of them and the number of the permission.
const WRITES: Range<libc::off_t> = 101..102;
/// Locked by one that may change the size.
const RESIZES: Range<libc::off_t> = 103..104;

/// Whether a QEMU uses a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InUse {
    /// One does.
    Yes,
    /// None does.
    No,
    /// The file's storage has no byte-range locks: one may.
    Unknown,
}

/// Asks the kernel about a lock; it answers in the same place.
type Ask<'a> = &'a dyn Fn(&mut libc::flock) -> nix::Result<()>;

impl InUse {
    /// Whether somebody holds any of QEMU's locks on `file`. Blocks.
    ///
    /// # Errors
    /// What asking met.
    pub fn of(file: &File) -> io::Result<Self> {
        Self::asked(&kernel(file), &[ALL])
    }

    /// Whether somebody holds those with which a QEMU may write to `file`. Blocks.
    pub(super) fn for_writing(file: &File) -> io::Result<Self> {
        Self::asked(&kernel(file), &[WRITES, RESIZES])
    }

    fn asked(ask: Ask<'_>, ranges: &[Range<libc::off_t>]) -> io::Result<Self> {
        for range in ranges {
            let mut lock = libc::flock {
                l_type: libc::F_WRLCK as libc::c_short,
                l_whence: libc::SEEK_SET as libc::c_short,
                l_start: range.start,
                l_len: range.end - range.start,
                l_pid: 0,
            };
            match ask(&mut lock) {
                Ok(()) if i32::from(lock.l_type) == libc::F_UNLCK => (),
                Ok(()) => return Ok(Self::Yes),
                Err(Errno::ENOSYS | Errno::ENOLCK | Errno::EOPNOTSUPP) => return Ok(Self::Unknown),
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(Self::No)
    }
}

fn kernel(file: &File) -> impl Fn(&mut libc::flock) -> nix::Result<()> + '_ {
    move |lock| fcntl(file, FcntlArg::F_OFD_GETLK(lock)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_seen_where_qemu_puts_it_and_only_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.qcow2");
        std::fs::write(&path, "").unwrap();
        let seen = || {
            let file = File::open(&path).unwrap();
            (InUse::of(&file).unwrap(), InUse::for_writing(&file).unwrap())
        };
        assert_eq!(seen(), (InUse::No, InUse::No));
        for (byte, wanted) in [
            (99, (InUse::No, InUse::No)),
            (100, (InUse::Yes, InUse::No)),
            (101, (InUse::Yes, InUse::Yes)),
            (103, (InUse::Yes, InUse::Yes)),
            (201, (InUse::Yes, InUse::No)),
            (300, (InUse::No, InUse::No)),
        ] {
            let holder = File::options().read(true).write(true).open(&path).unwrap();
            lock_byte(&holder, byte);
            assert_eq!(seen(), wanted, "{byte}");
            drop(holder);
            assert_eq!(seen(), (InUse::No, InUse::No));
        }
    }

    #[test]
    fn storage_without_locks_leaves_it_unknown() {
        for errno in [Errno::ENOSYS, Errno::ENOLCK, Errno::EOPNOTSUPP] {
            for ranges in [&[ALL][..], &[WRITES, RESIZES]] {
                assert_eq!(InUse::asked(&|_| Err(errno), ranges).unwrap(), InUse::Unknown, "{errno}");
            }
        }
        let error = InUse::asked(&|_| Err(Errno::EIO), &[ALL]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EIO));
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
