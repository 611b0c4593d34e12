//! What a qcow2 file is chained onto, by its header alone.
//!
//! Promises: nothing that the file names is opened, no link is followed, and only a regular file is
//! read: what lies in a directory of disks may be anybody's.

use super::header::{self, HEADER_BYTES, NameAt};
use nix::fcntl::OFlag;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// QEMU takes no longer name.
pub(super) const BACKING_MAX_BYTES: usize = 1023;

/// A qcow2 file that is chained onto another file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverlayHeader {
    /// What it names as its backing file, as it stands there.
    pub backing: PathBuf,
    /// Size of the disk a guest sees, in bytes.
    pub virtual_size_bytes: u64,
    /// When it was last written to.
    pub modified: SystemTime,
}

/// Reads what the file at `path` is chained onto. Blocks. `None` where there is no regular file, or
/// one that is no qcow2 file, or is chained onto nothing.
///
/// # Errors
/// What opening or reading met.
pub fn read_backing(path: &Path) -> io::Result<Option<OverlayHeader>> {
    if !is_regular(path)? {
        return Ok(None);
    }
    // Another may have taken its place: a pipe would otherwise wait for whoever writes to it.
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = File::options().read(true).custom_flags(flags.bits()).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(None);
    }
    let mut start = Vec::with_capacity(HEADER_BYTES);
    (&file).take(HEADER_BYTES as u64).read_to_end(&mut start)?;
    let Some(header) = header::parse(&start) else { return Ok(None) };
    let Some(at) = header.backing else { return Ok(None) };
    let (backing, modified) = (read_name(&file, at)?, metadata.modified()?);
    Ok(Some(OverlayHeader { backing, virtual_size_bytes: header.virtual_size_bytes, modified }))
}

/// Reads the name at `at`, from the file whose header says that it is there. Blocks.
///
/// A name longer than any that QEMU takes comes back cut, and equals none; one past the end, or past any end that
/// a file can have, is empty.
///
/// # Errors
/// What reading met.
pub fn read_name(file: &File, at: NameAt) -> io::Result<PathBuf> {
    let mut bytes = vec![0; (at.bytes as usize).min(BACKING_MAX_BYTES + 1)];
    match file.read_exact_at(&mut bytes, at.offset) {
        Err(error) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput) => {
            Ok(PathBuf::new())
        }
        read => read.map(|()| PathBuf::from(OsString::from_vec(bytes))),
    }
}

fn is_regular(path: &Path) -> io::Result<bool> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        seen => Ok(seen?.is_file()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ImageFormat;
    use crate::qcow2;
    use crate::qcow2::{ClusterRuns, Layout};
    use std::os::unix::fs::symlink;

    fn chained(path: &Path, backing: &Path) {
        let layout =
            Layout::new(1 << 20, Vec::new(), ClusterRuns::default(), backing, ImageFormat::Qcow2).unwrap();
        qcow2::write(&layout, |_, _| Ok(()), &mut File::create(path).unwrap()).unwrap();
    }

    #[test]
    fn tells_what_a_header_names() {
        let dir = tempfile::tempdir().unwrap();
        let (path, backing) = (dir.path().join("a.qcow2"), Path::new("/views/ü x/cache.qcow2"));
        chained(&path, backing);
        let backed = read_backing(&path).unwrap().unwrap();
        assert_eq!((backed.backing.as_path(), backed.virtual_size_bytes), (backing, 1 << 20));
        assert_eq!(backed.modified, path.metadata().unwrap().modified().unwrap());
    }

    #[test]
    fn what_is_no_chained_file_is_passed_over_without_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        chained(&at("real"), Path::new("/b"));
        symlink(at("real"), at("link")).unwrap();
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::fs::write(at("raw"), [0; 4096]).unwrap();
        std::fs::write(at("short"), b"QFI\xfb").unwrap();
        std::fs::create_dir(at("dir")).unwrap();
        let whole = std::fs::read(at("real")).unwrap();
        std::fs::write(at("alone"), [&whole[..8], &[0; 8], &whole[16..]].concat()).unwrap();
        for name in ["link", "pipe", "raw", "short", "dir", "alone", "absent"] {
            assert_eq!(read_backing(&at(name)).unwrap(), None, "{name}");
        }
    }

    #[test]
    fn a_name_past_the_end_is_none_of_ours() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cut.qcow2");
        chained(&path, Path::new("/b"));
        File::options().write(true).open(&path).unwrap().set_len(104).unwrap();
        assert_eq!(read_backing(&path).unwrap().unwrap().backing, PathBuf::new());
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[8..16].copy_from_slice(&u64::MAX.to_be_bytes());
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(read_backing(&path).unwrap().unwrap().backing, PathBuf::new());
    }
}
