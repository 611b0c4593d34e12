//! Overlays as they lie on disk: their headers name the boot cache they chain onto, and so the view.
//!
//! Promises: what is found is what a record would say, whoever made or moved the file. Only one
//! directory is read, not those below it, and no more of it than [`ENTRIES`]; see [`read_backing`] for
//! what is opened. Blocks.

use super::file_state;
use super::lease::{Lease, Stage};
use crate::layout::Layout;
use bootstash_base::names::{ImageName, SnapshotName};
use bootstash_delta::catalog;
use bootstash_disk::qcow2::{OverlayHeader, read_backing};
use bootstash_net::api::OverlayView;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::DirEntry;
use std::io;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// More than any directory of disks should have.
const ENTRIES: usize = 20_000;

/// How files begin that are overlays in the making.
const UNFINISHED: &str = ".bootstash-overlay-";

/// A file that was written to so lately may be an overlay in the making, of any program.
const SETTLED_AFTER: Duration = Duration::from_secs(120);

/// Which files of a directory were read before, and need not be again: by name, with their inode.
#[derive(Debug, Default)]
pub(super) struct Examined(HashMap<OsString, u64>);

impl Examined {
    /// The file of this name is to be read again.
    pub(super) fn forget(&mut self, name: &OsStr) {
        self.0.remove(name);
    }

    fn has(&self, entry: &DirEntry) -> bool {
        self.0.get(&entry.file_name()) == Some(&entry.ino())
    }
}

/// What a look through a directory showed.
#[derive(Debug, Default)]
pub(super) struct DirectoryScan {
    /// The overlays that chain onto views of this node, as records.
    pub(super) leases: Vec<Lease>,
    /// Files that may be overlays, and could not be read.
    pub(super) unreadable: Vec<(PathBuf, io::Error)>,
}

/// Looks through a directory; one that does not exist has nothing in it.
///
/// # Errors
/// Where there may be more than was seen.
pub(super) fn scan_directory(directory: &Path, layout: &Layout) -> io::Result<DirectoryScan> {
    scan_unexamined(directory, layout, &mut Examined::default())
}

/// The same of the files that were not examined before; notes which are now.
///
/// # Errors
/// As there.
pub(super) fn scan_unexamined(
    directory: &Path,
    layout: &Layout,
    examined: &mut Examined,
) -> io::Result<DirectoryScan> {
    // One spelling, that of records.
    let directory = match directory.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(DirectoryScan::default()),
        real => real?,
    };
    let mount_point = file_state::mount_point(&directory)?;
    let before = std::mem::take(examined);
    let mut found = DirectoryScan::default();
    for (count, entry) in directory.read_dir()?.enumerate() {
        if count == ENTRIES {
            return Err(io::Error::other(format!("there are more than {ENTRIES} files in it")));
        }
        let entry = entry?;
        // The directory itself tells: what is mounted below it may hang.
        let regular = entry.file_type()?.is_file();
        if !regular || entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            continue;
        }
        let read =
            if before.has(&entry) { Ok(None) } else { overlay_at(&entry.path(), layout, &mount_point) };
        if before.has(&entry) || matches!(read, Ok(Some(_))) || is_settled(&entry) {
            examined.0.insert(entry.file_name(), entry.ino());
        }
        match read {
            Ok(lease) => found.leases.extend(lease),
            Err(error) => found.unreadable.push((entry.path(), error)),
        }
    }
    Ok(found)
}

/// Whether what was read of it will stay so.
fn is_settled(entry: &DirEntry) -> bool {
    let modified = entry.metadata().and_then(|metadata| metadata.modified());
    modified.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age > SETTLED_AFTER))
}

/// Whether the file at `path` is surely no overlay of this node any more: it can be read, and chains onto
/// something else or nothing. A link may lead to one.
pub(super) fn is_foreign(path: &Path, layout: &Layout) -> bool {
    let chained = |backed: OverlayHeader| chain(&backed.backing, layout).is_some();
    path.symlink_metadata().is_ok_and(|seen| seen.is_file())
        && read_backing(path).is_ok_and(|backed| !backed.is_some_and(chained))
}

/// The overlay at `path`, as a record of it would be; none where there is no file, or no overlay of this node.
///
/// # Errors
/// What reading met.
pub(super) fn overlay_at(path: &Path, layout: &Layout, mount_point: &Path) -> io::Result<Option<Lease>> {
    let Some(backed) = read_backing(path)? else { return Ok(None) };
    let Some((snapshot, image)) = chain(&backed.backing, layout) else { return Ok(None) };
    let overlay = OverlayView {
        path: path.to_owned(),
        image,
        snapshot,
        cache: backed.backing,
        virtual_size_bytes: backed.virtual_size_bytes,
        created: backed.modified.into(),
        firmware: None,
    };
    let mount_point = Some(mount_point.to_owned());
    Ok(Some(Lease { stage: Stage::Made, overlay, mount_point, missing_since: None, pinned: false }))
}

/// The snapshot and image whose boot cache a file is, if it is one of this node's views.
pub(super) fn chain(backing: &Path, layout: &Layout) -> Option<(SnapshotName, ImageName)> {
    let mut words = backing.strip_prefix(&layout.views_dir).ok()?.iter().map(|word| word.to_str());
    let (snapshot, _, image) = (words.next()??, words.next()??, words.next()??);
    let (snapshot, image) = (snapshot.parse().ok()?, image.parse().ok()?);
    let cache: PathBuf = catalog::cache_path(&layout.mountpoint(&snapshot), &image);
    (cache == backing).then_some((snapshot, image))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Node, write_overlay};

    const SNAPSHOT: &str = "bs-000042-20261121T101530Z";

    #[test]
    fn only_the_boot_caches_of_views_are_chains() {
        let layout = Node::new().layout();
        let views = &layout.views_dir;
        let cache = views.join(SNAPSHOT).join("images/alpine/cache.qcow2");
        let (snapshot, image) = chain(&cache, &layout).unwrap();
        assert_eq!((snapshot.as_str(), image.as_str()), (SNAPSHOT, "alpine"));
        let below = |path: &str| views.join(path);
        for other in [
            "/elsewhere/cache.qcow2".into(),
            below("x/images/alpine/cache.qcow2"),
            below("bs-42-20261121T101530Z/images/alpine/cache.qcow2"),
            views.join(SNAPSHOT).join("images/../images/alpine/cache.qcow2"),
            views.join(SNAPSHOT).join("images/alpine/manifest.json"),
            views.join(SNAPSHOT).join("images/alpine"),
            cache.join("more"),
        ] {
            assert_eq!(chain(&other, &layout), None, "{}", other.display());
        }
    }

    #[test]
    fn finds_each_overlay_of_a_directory_under_its_real_path() {
        let node = Node::new();
        let layout = node.layout();
        let cache =
            catalog::cache_path(&layout.mountpoint(&SNAPSHOT.parse().unwrap()), &"a".parse().unwrap());
        for name in ["a.qcow2", "b", ".bootstash-overlay-x"] {
            write_overlay(&node.vm(name), &cache, 1 << 20).unwrap();
        }
        write_overlay(&node.vm("foreign"), Path::new("/base"), 1 << 20).unwrap();
        std::fs::create_dir(node.vm("below")).unwrap();
        write_overlay(&node.vm("below/c"), &cache, 1 << 20).unwrap();
        std::fs::write(node.vm("raw"), "data").unwrap();
        let link = node.dir.path().join("link");
        std::os::unix::fs::symlink(node.vm(""), &link).unwrap();
        let mut found = scan_directory(&link, &layout).unwrap().leases;
        found.sort_by(|a, b| a.overlay.path.cmp(&b.overlay.path));
        let paths: Vec<_> = found.iter().map(|lease| lease.overlay.path.clone()).collect();
        assert_eq!(paths, [node.vm("a.qcow2"), node.vm("b")]);
        assert!(found.iter().all(|it| it.overlay.cache == cache && it.overlay.virtual_size_bytes == 1 << 20));
        assert_eq!(scan_directory(&node.vm("absent"), &layout).unwrap().leases, []);
        assert!(scan_directory(&node.vm("raw"), &layout).is_err());
        let foreign = |name: &str| is_foreign(&node.vm(name), &layout);
        assert!(["foreign", "raw"].into_iter().all(foreign));
        assert!(!["a.qcow2", "absent", "below", "../link"].into_iter().any(foreign));
    }
}
