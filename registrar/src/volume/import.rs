//! Import: a cache file becomes `images/<name>/` of the volume's head, whole or not at all.

use super::VolumeError;
use super::extend::Extension;
use bootstash_base::error::Chain;
use bootstash_base::kill_point::{KillPoint, kill_point};
use bootstash_base::names::ImageName;
use bootstash_delta::catalog;
use bootstash_delta::catalog::{CACHE_FILE, MANIFEST_FILE, Manifest};
use bootstash_net::api::Progress;
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tokio::sync::watch;

const BUFFER_BYTES: usize = 1024 * 1024;
/// Names of unfinished imports begin so, which no image name does.
const PART_PREFIX: &str = ".part-";
/// Names of images whose place is being taken begin so.
const ASIDE_PREFIX: &str = ".aside-";
/// At the top of the volume, beside the images.
pub(super) const COMMITTED: &str = ".committed";

/// What to import.
#[derive(Debug)]
pub struct ImportRequest {
    /// The cache, in the job's scratch space.
    pub cache: PathBuf,
    /// What lies beside it.
    pub manifest: Manifest,
    /// Says what is waited for, and how many bytes are written.
    pub progress: watch::Sender<Progress>,
}

/// Puts the image into the head of the volume mounted at `mountpoint`. What was there under its name, from boots before
/// or from an import that a crash cut off before its snapshot, is extended or replaced. Blocking.
pub(super) fn import(mountpoint: &Path, request: &ImportRequest) -> Result<(), VolumeError> {
    let name = &request.manifest.name;
    let images = catalog::images_dir(mountpoint);
    make_dir(&images)?;
    let part = images.join(format!("{PART_PREFIX}{name}"));
    remove_tree(&part)?;
    let result = match extension(mountpoint, request)? {
        Some(extension) => extend(mountpoint, &part, request, &extension),
        None => replace(mountpoint, &part, request),
    };
    kill_point(KillPoint::ImportRenamed);
    if result.is_err()
        && let Err(left) = remove_tree(&part)
    {
        tracing::warn!(error = %Chain(&left), "a part of an import stays until the next start");
    }
    result.map_err(|error| no_space(error, request))
}

/// How it extends the cache that is in the head under its name; none where it does not.
fn extension(mountpoint: &Path, request: &ImportRequest) -> Result<Option<Extension>, VolumeError> {
    let (name, new) = (&request.manifest.name, &request.manifest.cache);
    // One that cannot be read is replaced.
    let Ok(old) = catalog::read_manifest(mountpoint, name) else { return Ok(None) };
    let old_path = catalog::cache_path(mountpoint, name);
    Extension::between((&old_path, &old.cache), (&request.cache, new))
}

fn extend(
    mountpoint: &Path,
    part: &Path,
    request: &ImportRequest,
    extension: &Extension,
) -> Result<(), VolumeError> {
    let name = &request.manifest.name;
    make_dir(part)?;
    extension.write(&request.cache, &catalog::cache_path(mountpoint, name))?;
    kill_point(KillPoint::ImportCopied);
    write_manifest(part, request)?;
    let (from, to) = (part.join(MANIFEST_FILE), catalog::image_dir(mountpoint, name).join(MANIFEST_FILE));
    fs::rename(&from, &to).map_err(|source| io_error(&from, source))?;
    remove_tree(part)?;
    commit(mountpoint)
}

fn replace(mountpoint: &Path, part: &Path, request: &ImportRequest) -> Result<(), VolumeError> {
    let name = &request.manifest.name;
    fill(part, request)?;
    kill_point(KillPoint::ImportCopied);
    let (dir, aside) = (catalog::image_dir(mountpoint, name), aside(mountpoint, name.as_str()));
    if dir.exists() {
        remove_tree(&aside)?;
        fs::rename(&dir, &aside).map_err(|source| io_error(&dir, source))?;
    }
    if let Err(source) = fs::rename(part, &dir) {
        // What was there stays there.
        fs::rename(&aside, &dir).ok();
        return Err(io_error(part, source));
    }
    remove_tree(&aside)?;
    commit(mountpoint)
}

/// Where an image waits while another takes its place: back, if a crash comes between.
fn aside(mountpoint: &Path, name: &str) -> PathBuf {
    catalog::images_dir(mountpoint).join(format!("{ASIDE_PREFIX}{name}"))
}

/// Takes an image out of the head; says whether it was there. Blocking.
pub(super) fn discard(mountpoint: &Path, name: &ImageName) -> Result<bool, VolumeError> {
    let dir = catalog::image_dir(mountpoint, name);
    if !dir.exists() {
        return Ok(false);
    }
    // Out of sight first, so that a crash leaves no image without its manifest.
    let part = catalog::images_dir(mountpoint).join(format!("{PART_PREFIX}gone-{name}"));
    remove_tree(&part)?;
    fs::rename(&dir, &part).map_err(|source| io_error(&dir, source))?;
    kill_point(KillPoint::DiscardHidden);
    remove_tree(&part)?;
    commit(mountpoint)?;
    Ok(true)
}

/// Removes what a crash left half done, and puts back what was to be replaced. Blocking.
pub(super) fn sweep(mountpoint: &Path) -> Result<(), VolumeError> {
    let images = catalog::images_dir(mountpoint);
    let entries = match fs::read_dir(&images) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|source| io_error(&images, source))?,
    };
    for entry in entries {
        let path = entry.map_err(|source| io_error(&images, source))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if let Some(image) = name.strip_prefix(ASIDE_PREFIX) {
            put_back(&path, &images.join(image))?;
        } else if name.starts_with(PART_PREFIX) {
            remove_tree(&path)?;
        }
    }
    Ok(())
}

fn put_back(aside: &Path, dir: &Path) -> Result<(), VolumeError> {
    if dir.exists() {
        return remove_tree(aside);
    }
    fs::rename(aside, dir).map_err(|source| io_error(aside, source))
}

fn fill(part: &Path, request: &ImportRequest) -> Result<(), VolumeError> {
    make_dir(part)?;
    kill_point(KillPoint::ImportBegun);
    let copied = copy(request, &part.join(CACHE_FILE))?;
    if copied != request.manifest.cache.bytes {
        let wrong = format!("it has {copied} bytes, captured were {}", request.manifest.cache.bytes);
        return Err(io_error(&request.cache, io::Error::other(wrong)));
    }
    write_manifest(part, request)
}

fn write_manifest(part: &Path, request: &ImportRequest) -> Result<(), VolumeError> {
    let path = part.join(MANIFEST_FILE);
    let json = serde_json::to_vec_pretty(&request.manifest).map_err(|error| io_error(&path, error.into()))?;
    let mut file = create(&path)?;
    file.write_all(&json).and_then(|()| finish(&file)).map_err(|source| io_error(&path, source))
}

/// Gives the bytes copied.
fn copy(request: &ImportRequest, to: &Path) -> Result<u64, VolumeError> {
    let from = &request.cache;
    let mut source = File::open(from).map_err(|source| io_error(from, source))?;
    let mut target = create(to)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut copied = 0;
    loop {
        let read = source.read(&mut buffer).map_err(|source| io_error(from, source))?;
        if read == 0 {
            finish(&target).map_err(|source| io_error(to, source))?;
            return Ok(copied);
        }
        target.write_all(&buffer[..read]).map_err(|source| io_error(to, source))?;
        copied += read as u64;
        request.progress.send_modify(|progress| progress.bytes = Some(copied));
    }
}

fn create(path: &Path) -> Result<File, VolumeError> {
    File::create(path).map_err(|source| io_error(path, source))
}

/// World-readable: QEMU runs as another user than the registrar.
pub(super) fn finish(file: &File) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(0o444))?;
    file.sync_all()
}

/// What is said to be done must outlive a ZFS that dies before it writes its next group of changes. A
/// directory cannot be synced on zfs-fuse, which says that it was; a file that was written to can, and ZFS
/// then makes all that was done before it last, too.
fn commit(mountpoint: &Path) -> Result<(), VolumeError> {
    let path = mountpoint.join(COMMITTED);
    let synced = File::create(&path).and_then(|mut file| {
        file.write_all(b"All that was changed before this was written is on disk.\n")?;
        file.sync_all()
    });
    synced.map_err(|source| io_error(&path, source))
}

fn make_dir(path: &Path) -> Result<(), VolumeError> {
    let made = match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o755))),
    };
    made.map_err(|source| io_error(path, source))
}

fn remove_tree(path: &Path) -> Result<(), VolumeError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(path, error)),
        _ => Ok(()),
    }
}

pub(super) fn io_error(path: &Path, source: io::Error) -> VolumeError {
    VolumeError::Io { path: path.to_owned(), source }
}

fn no_space(error: VolumeError, request: &ImportRequest) -> VolumeError {
    match error {
        VolumeError::Io { source, .. }
            if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) =>
        {
            let name = request.manifest.name.clone();
            VolumeError::NoSpace { name, cache_bytes: request.manifest.cache.bytes }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::register::testing::manifest;
    use bootstash_delta::catalog::CacheFacts;
    use std::os::unix::fs::MetadataExt;

    fn request(dir: &Path, bytes: &[u8]) -> ImportRequest {
        let cache = dir.join("captured");
        fs::write(&cache, bytes).unwrap();
        ImportRequest { cache, manifest: manifest("debian"), progress: Default::default() }
    }

    #[test]
    fn imports_replaces_and_discards() {
        let dir = tempfile::tempdir().unwrap();
        let volume = dir.path().join("volume");
        fs::create_dir(&volume).unwrap();
        let name = "debian".parse().unwrap();
        for bytes in [&b"first."[..], b"second"] {
            import(&volume, &request(dir.path(), bytes)).unwrap();
            assert_eq!(fs::read(catalog::cache_path(&volume, &name)).unwrap(), bytes);
            assert_eq!(catalog::read_all(&volume).unwrap(), [manifest("debian")]);
        }
        assert!(discard(&volume, &name).unwrap());
        assert!(!discard(&volume, &name).unwrap());
        assert_eq!(fs::read_dir(volume.join("images")).unwrap().count(), 0);
    }

    #[test]
    fn a_failed_import_leaves_the_head_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let volume = dir.path().join("volume");
        fs::create_dir(&volume).unwrap();
        import(&volume, &request(dir.path(), b"first.")).unwrap();
        let mut second = request(dir.path(), b"second");
        second.cache = dir.path().join("missing");
        import(&volume, &second).unwrap_err();
        assert_eq!(fs::read_dir(volume.join("images")).unwrap().count(), 1);
        assert_eq!(fs::read(catalog::cache_path(&volume, &"debian".parse().unwrap())).unwrap(), b"first.");
    }

    #[test]
    fn a_cache_that_begins_as_the_one_that_is_there_keeps_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let volume = dir.path().join("volume");
        fs::create_dir(&volume).unwrap();
        let inode = |request: &ImportRequest| {
            import(&volume, request).unwrap();
            let path = catalog::cache_path(&volume, &request.manifest.name);
            assert_eq!(fs::read(&path).unwrap(), fs::read(&request.cache).unwrap());
            assert_eq!(catalog::read_all(&volume).unwrap(), std::slice::from_ref(&request.manifest));
            assert_eq!(fs::read_dir(volume.join("images")).unwrap().count(), 1);
            fs::metadata(&path).unwrap().ino()
        };
        let sized = |bytes: &[u8], registered: u32| {
            let mut request = request(dir.path(), bytes);
            let (bytes, data_clusters) = (bytes.len() as u64, bytes.len() as u64 / 2 - 1);
            request.manifest.cache =
                CacheFacts { bytes, cluster_bytes: 2, data_clusters, ..request.manifest.cache };
            request.manifest.boots_to_follow = registered;
            request
        };
        let first = inode(&sized(b"m1aabb", 2));
        assert_eq!(inode(&sized(b"m2aabbcc", 0)), first);
        assert_eq!(inode(&sized(b"m2aabbcc", 1)), first);
        assert_ne!(inode(&sized(b"m2xxbbcc", 0)), first);
    }

    #[test]
    fn an_image_whose_place_was_being_taken_is_put_back() {
        let dir = tempfile::tempdir().unwrap();
        import(dir.path(), &request(dir.path(), b"first.")).unwrap();
        let (name, images) = ("debian".parse().unwrap(), dir.path().join("images"));
        fs::rename(catalog::image_dir(dir.path(), &name), images.join(".aside-debian")).unwrap();
        fs::create_dir(images.join(".aside-old")).unwrap();
        fs::create_dir(images.join("old")).unwrap();
        sweep(dir.path()).unwrap();
        assert_eq!(fs::read(catalog::cache_path(dir.path(), &name)).unwrap(), b"first.");
        assert_eq!(fs::read_dir(images).unwrap().count(), 2);
    }

    #[test]
    fn sweeps_what_a_crash_left() {
        let dir = tempfile::tempdir().unwrap();
        sweep(dir.path()).unwrap();
        fs::create_dir_all(dir.path().join("images/.part-debian")).unwrap();
        fs::create_dir_all(dir.path().join("images/kept")).unwrap();
        sweep(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path().join("images")).unwrap().count(), 1);
    }
}
