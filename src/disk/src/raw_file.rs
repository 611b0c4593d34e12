//! Reading a file as it is: where it has data, and bytes with zeros past its end. Blocks.

use crate::nbd::ExtentKind;
use nix::errno::Errno;
use nix::unistd::{Whence, lseek};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Fills `buffer` from `offset`; what lies past the end reads as zeros.
pub(crate) fn read_padded(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
    buffer[filled..].fill(0);
    Ok(())
}

/// What is at `offset`, and for how many bytes from there at least.
pub(crate) fn extent(file: &File, offset: u64) -> io::Result<(ExtentKind, u64)> {
    let data = seek(file, offset, Whence::SeekData)?;
    if data > offset {
        return Ok((ExtentKind::Zero, data - offset));
    }
    Ok((ExtentKind::Data, seek(file, offset, Whence::SeekHole)?.saturating_sub(offset)))
}

/// Where the next data or hole is; the end of time where there is none.
fn seek(file: &File, offset: u64, whence: Whence) -> io::Result<u64> {
    let from = i64::try_from(offset).map_err(io::Error::other)?;
    match lseek(file, from, whence) {
        Ok(found) => u64::try_from(found).map_err(io::Error::other),
        Err(Errno::ENXIO) => Ok(u64::MAX),
        Err(errno) => Err(errno.into()),
    }
}
