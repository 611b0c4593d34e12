//! What lies at a disk's path: the chain down to its lowest overlay. Blocks.
//!
//! Promises: headers alone are read, of regular files alone, and nothing in a view, whose file system may hang.

use bootstash_base::names::{ImageName, SnapshotName};
use bootstash_delta::catalog;
use bootstash_disk::qcow2::read_backing;
use bootstash_qemu::InUse;
use nix::fcntl::OFlag;
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// QEMU opens each file of a chain, and VMs with as many snapshots are none.
const LONGEST_CHAIN: usize = 64;

/// What lies there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DiskFile {
    /// Nothing.
    Absent,
    /// A file that is chained onto nothing; without links.
    Alone(PathBuf),
    /// The lowest overlay of its chain.
    Chained(Lowest),
}

/// The overlay of a chain that lies upon a boot cache or an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lowest {
    /// Without links.
    pub(crate) path: PathBuf,
    /// What it is chained onto.
    pub(crate) backing: Backing,
    /// Whether a QEMU has it open.
    pub(crate) in_use: InUse,
    /// All files that the domain's XML names are in its chain, and none lies below it.
    pub(crate) is_as_described: bool,
}

/// What the lowest overlay is chained onto.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Backing {
    /// A boot cache, of this or of another node.
    Cache { path: PathBuf, snapshot: SnapshotName, image: ImageName },
    /// Another file, without links where it is here.
    Base(PathBuf),
}

impl DiskFile {
    /// Walks down the chain of the disk at `given`, of which the domain's XML names the files `described`.
    pub(crate) fn look(given: &Path, described: &[PathBuf]) -> io::Result<Self> {
        let mut path = match given.canonicalize() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::Absent),
            real => real?,
        };
        let Some(mut header) = read_backing(&path)? else { return Ok(Self::Alone(path)) };
        let mut described: Vec<PathBuf> = described.iter().map(|file| real(file)).collect();
        for _ in 0..LONGEST_CHAIN {
            described.retain(|file| *file != path);
            let named = path.parent().unwrap_or(Path::new("/")).join(&header.backing);
            if let Some((snapshot, image)) = boot_cache(&named) {
                return Lowest::at(
                    path,
                    Backing::Cache { path: named, snapshot, image },
                    described.is_empty(),
                );
            }
            let below = real(&named);
            match read_backing(&below)? {
                Some(next) => (path, header) = (below, next),
                None => return Lowest::at(path, Backing::Base(below), described.is_empty()),
            }
        }
        Err(io::Error::other("its chain has more than 64 files"))
    }
}

impl Lowest {
    fn at(path: PathBuf, backing: Backing, is_as_described: bool) -> io::Result<DiskFile> {
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let in_use = InUse::of(&File::options().read(true).custom_flags(flags.bits()).open(&path)?)?;
        Ok(DiskFile::Chained(Self { path, backing, in_use, is_as_described }))
    }
}

/// Without links, where it is here.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

impl Backing {
    /// Whether it is this boot cache.
    pub(crate) fn is(&self, cache: &Path) -> bool {
        matches!(self, Self::Cache { path, .. } if path == cache)
    }
}

/// Of which snapshot and image the file at `path` is the boot cache, by its name: views lie elsewhere on other nodes.
fn boot_cache(path: &Path) -> Option<(SnapshotName, ImageName)> {
    let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    let image: ImageName = name(path.parent()?)?.parse().ok()?;
    let root = path.ancestors().nth(3)?;
    let snapshot = name(root)?.parse().ok()?;
    (catalog::cache_path(root, &image) == path).then_some((snapshot, image))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bootstash_disk::qcow2::header::HEADER_BYTES;
    use std::os::unix::ffi::OsStrExt;

    const CACHE: &str = "/views/bs-000042-20261121T101530Z/images/alpine/cache.qcow2";

    /// A header that names any file, as `qemu-img` writes relative names, too.
    fn chain(path: &Path, backing: &Path) {
        let name = backing.as_os_str().as_bytes();
        let mut header = vec![0; HEADER_BYTES];
        header[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
        header[8..16].copy_from_slice(&(HEADER_BYTES as u64).to_be_bytes());
        header[16..20].copy_from_slice(&u32::try_from(name.len()).unwrap().to_be_bytes());
        header[20..24].copy_from_slice(&16_u32.to_be_bytes());
        header[100..104].copy_from_slice(&104_u32.to_be_bytes());
        std::fs::write(path, [&header, name].concat()).unwrap();
    }

    #[test]
    fn the_lowest_overlay_is_found_below_snapshots() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().canonicalize().unwrap().join(name);
        chain(&at("low"), Path::new(CACHE));
        chain(&at("middle"), Path::new("low"));
        chain(&at("top"), &at("middle"));
        let DiskFile::Chained(found) = DiskFile::look(&at("top"), &[]).unwrap() else {
            panic!("it is chained")
        };
        assert_eq!((&found.path, found.in_use), (&at("low"), InUse::No));
        let (snapshot, image) = ("bs-000042-20261121T101530Z".parse().unwrap(), "alpine".parse().unwrap());
        assert_eq!(found.backing, Backing::Cache { path: CACHE.into(), snapshot, image });
    }

    #[test]
    fn what_the_xml_names_is_to_be_in_the_chain() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().canonicalize().unwrap().join(name);
        chain(&at("low"), &at("base.raw"));
        chain(&at("top"), &at("low"));
        std::os::unix::fs::symlink("low", at("link")).unwrap();
        let found = |described: &[PathBuf]| match DiskFile::look(&at("top"), described).unwrap() {
            DiskFile::Chained(lowest) => lowest.is_as_described,
            other => panic!("{other:?}"),
        };
        assert!(found(&[]) && found(&[at("low")]) && found(&[at("link")]));
        assert!(!found(&[at("other")]) && !found(&[at("low"), at("base.raw")]));
    }

    #[test]
    fn a_base_ends_the_chain_and_loops_end() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().canonicalize().unwrap().join(name);
        std::fs::write(at("base.raw"), [7; 4096]).unwrap();
        std::os::unix::fs::symlink("base.raw", at("link.raw")).unwrap();
        chain(&at("low"), Path::new("link.raw"));
        chain(&at("round"), Path::new("round"));
        let DiskFile::Chained(found) = DiskFile::look(&at("low"), &[]).unwrap() else {
            panic!("it is chained")
        };
        assert_eq!(found.backing, Backing::Base(at("base.raw")));
        assert!(DiskFile::look(&at("round"), &[]).is_err());
        assert_eq!(DiskFile::look(&at("link.raw"), &[]).unwrap(), DiskFile::Alone(at("base.raw")));
        assert_eq!(DiskFile::look(&at("none"), &[]).unwrap(), DiskFile::Absent);
    }

    #[test]
    fn boot_caches_are_told_by_their_names() {
        assert!(boot_cache(Path::new(CACHE)).is_some());
        for other in ["/srv/cache.qcow2", "/v/x/images/alpine/cache.qcow2", "cache.qcow2", "/"] {
            assert_eq!(boot_cache(Path::new(other)), None, "{other}");
        }
    }
}
