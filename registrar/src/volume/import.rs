//! Import: a cache file becomes `images/<name>/` of the volume's head, whole or not at all.

use super::VolumeError;
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

/// Puts the image into the head of the volume mounted at `mountpoint`. What was there under its name
/// is replaced: only an import that a crash cut off before its snapshot can have left it. Blocking.
pub(super) fn import(mountpoint: &Path, request: &ImportRequest) -> Result<(), VolumeError> {
    let name = &request.manifest.name;
    let images = catalog::images_dir(mountpoint);
    make_dir(&images)?;
    let part = images.join(format!("{PART_PREFIX}{name}"));
    remove_tree(&part)?;
    let result = fill(&part, request).and_then(|()| {
        kill_point(KillPoint::ImportCopied);
        discard(mountpoint, name)?;
        fs::rename(&part, catalog::image_dir(mountpoint, name)).map_err(|source| io_error(&part, source))?;
        commit(mountpoint)
    });
    kill_point(KillPoint::ImportRenamed);
    if result.is_err()
        && let Err(left) = remove_tree(&part)
    {
        tracing::warn!(error = %Chain(&left), "a part of an import stays until the next start");
    }
    result.map_err(|error| no_space(error, request))
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

/// Removes what a crash left half done. Blocking.
pub(super) fn sweep(mountpoint: &Path) -> Result<(), VolumeError> {
    let images = catalog::images_dir(mountpoint);
    let entries = match fs::read_dir(&images) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|source| io_error(&images, source))?,
    };
    for entry in entries {
        let path = entry.map_err(|source| io_error(&images, source))?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PART_PREFIX)) {
            remove_tree(&path)?;
        }
    }
    Ok(())
}

fn fill(part: &Path, request: &ImportRequest) -> Result<(), VolumeError> {
    make_dir(part)?;
    kill_point(KillPoint::ImportBegun);
    let copied = copy(request, &part.join(CACHE_FILE))?;
    if copied != request.manifest.cache.bytes {
        let wrong = format!("it has {copied} bytes, captured were {}", request.manifest.cache.bytes);
        return Err(io_error(&request.cache, io::Error::other(wrong)));
    }
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
fn finish(file: &File) -> io::Result<()> {
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

fn io_error(path: &Path, source: io::Error) -> VolumeError {
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
    fn sweeps_what_a_crash_left() {
        let dir = tempfile::tempdir().unwrap();
        sweep(dir.path()).unwrap();
        fs::create_dir_all(dir.path().join("images/.part-debian")).unwrap();
        fs::create_dir_all(dir.path().join("images/kept")).unwrap();
        sweep(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path().join("images")).unwrap().count(), 1);
    }
}
