//! What a disk's chain ends in: the lowest overlay, and what that is chained onto. Blocks.
//!
//! Promises: headers alone are read, and nothing is written; a chain that is longer than any real one ends the walk.

use super::{file_state, scan_directory};
use crate::layout::Layout;
use bootstash_base::names::{ImageName, SnapshotName};
use bootstash_disk::qcow2::{OverlayHeader, read_backing};
use std::io;
use std::path::{Path, PathBuf};

/// QEMU opens each file of a chain, and VMs with as many snapshots are none.
const LONGEST_CHAIN: usize = 64;

/// The lowest overlay of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::volume) struct Bottom {
    /// Its file, without links.
    pub(in crate::volume) path: PathBuf,
    pub(in crate::volume) virtual_size_bytes: u64,
    /// Where its storage is mounted.
    pub(in crate::volume) mount_point: PathBuf,
    pub(in crate::volume) backing: Backing,
}

/// What the lowest overlay is chained onto.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::volume) enum Backing {
    /// A boot cache, which need not be here.
    Cache { path: PathBuf, snapshot: SnapshotName, image: ImageName },
    /// A file that is chained onto nothing, without links where it is here.
    Base(PathBuf),
}

/// Why there is no bottom.
#[derive(Debug)]
pub(super) enum NoBottom {
    /// There is no such file.
    Absent,
    /// It is chained onto nothing.
    Alone,
    /// It may be endless.
    Long,
    /// What the operating system said of a file of it.
    Io { path: PathBuf, source: io::Error },
}

/// Walks down the chain of the disk at `given`.
pub(super) fn of(given: &Path, layout: &Layout) -> Result<Bottom, NoBottom> {
    let mut path = canonical(given)?;
    for _ in 0..LONGEST_CHAIN {
        let header = read(&path)?.ok_or(NoBottom::Alone)?;
        let named = directory(&path).join(&header.backing);
        if let Some((snapshot, image)) = scan_directory::chain(&named, layout) {
            return bottom(path, &header, Backing::Cache { path: named, snapshot, image });
        }
        let below = named.canonicalize().unwrap_or(named);
        match read(&below)? {
            Some(_) => path = below,
            None => return bottom(path, &header, Backing::Base(below)),
        }
    }
    Err(NoBottom::Long)
}

fn bottom(path: PathBuf, header: &OverlayHeader, backing: Backing) -> Result<Bottom, NoBottom> {
    let mount_point = file_state::mount_point(directory(&path))
        .map_err(|source| NoBottom::Io { path: path.clone(), source })?;
    Ok(Bottom { path, virtual_size_bytes: header.virtual_size_bytes, mount_point, backing })
}

fn canonical(given: &Path) -> Result<PathBuf, NoBottom> {
    if !given.is_absolute() {
        return Err(NoBottom::Absent);
    }
    given.canonicalize().map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => NoBottom::Absent,
        _ => NoBottom::Io { path: given.to_owned(), source },
    })
}

fn read(path: &Path) -> Result<Option<OverlayHeader>, NoBottom> {
    read_backing(path).map_err(|source| NoBottom::Io { path: path.to_owned(), source })
}

fn directory(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Node, write_overlay};
    use bootstash_delta::catalog;

    #[test]
    fn snapshots_above_and_links_between_lead_to_the_lowest_overlay() {
        let node = Node::new();
        let layout = node.layout();
        let at = |name: &str| node.vm(name).parent().unwrap().canonicalize().unwrap().join(name);
        std::fs::write(at("base.raw"), [7; 4096]).unwrap();
        std::os::unix::fs::symlink("base.raw", at("link.raw")).unwrap();
        write_overlay(&at("low"), &at("link.raw"), 1 << 20).unwrap();
        write_overlay(&at("snap"), &at("low"), 1 << 21).unwrap();
        let found = of(&at("snap"), &layout).unwrap();
        assert_eq!((&found.path, found.virtual_size_bytes), (&at("low"), 1 << 20));
        assert_eq!(found.backing, Backing::Base(at("base.raw")));

        let snapshot: SnapshotName = "bs-000042-20261121T101530Z".parse().unwrap();
        let image: ImageName = "alpine".parse().unwrap();
        let path = catalog::cache_path(&layout.mountpoint(&snapshot), &image);
        write_overlay(&at("moved"), &path, 1 << 20).unwrap();
        assert_eq!(of(&at("moved"), &layout).unwrap().backing, Backing::Cache { path, snapshot, image });
        write_overlay(&at("lost"), Path::new("/no/such/base.raw"), 1 << 20).unwrap();
        assert_eq!(of(&at("lost"), &layout).unwrap().backing, Backing::Base("/no/such/base.raw".into()));
    }

    #[test]
    fn what_has_no_bottom_says_why() {
        let node = Node::new();
        let layout = node.layout();
        std::fs::write(node.vm("raw"), "data").unwrap();
        write_overlay(&node.vm("round"), &node.vm("round"), 1 << 20).unwrap();
        assert!(matches!(of(&node.vm("raw"), &layout), Err(NoBottom::Alone)));
        assert!(matches!(of(&node.vm("round"), &layout), Err(NoBottom::Long)));
        assert!(matches!(of(&node.vm("absent"), &layout), Err(NoBottom::Absent)));
        assert!(matches!(of(Path::new("raw"), &layout), Err(NoBottom::Absent)));
    }
}
