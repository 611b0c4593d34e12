//! The images of a volume, kept in memory: read once, and then only what changed.
//!
//! Promises: what is kept is what the manifests say; an image whose directory looks as it did when its manifest was
//! read is not read again; cloning costs nothing.

use super::{CatalogError, MANIFEST_FILE, Manifest, image_dir, images_dir, parse_manifest};
use bootstash_base::names::ImageName;
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

/// The manifests of a volume's images, in order of name, without the samples of their bases.
#[derive(Clone, Debug, Default)]
pub struct Catalog(Arc<BTreeMap<ImageName, Kept>>);

#[derive(Clone, Debug)]
struct Kept {
    directory: DirectoryState,
    manifest: Arc<Manifest>,
}

/// How an image's directory looked. An image is replaced by a new directory, or its manifest is replaced in the one it has,
/// which changes its times; what is sent and received keeps all of this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct DirectoryState {
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Reads a whole file.
pub trait ReadFile {
    /// Its content.
    ///
    /// # Errors
    /// Those of the file system.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
}

impl<F: Fn(&Path) -> io::Result<Vec<u8>>> ReadFile for F {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self(path)
    }
}

impl Catalog {
    /// The images below a mounted volume or view. Those that are known already, and whose directories are what they
    /// were, are taken over.
    ///
    /// # Errors
    /// What reading met.
    pub fn updated(&self, root: &Path, files: &impl ReadFile) -> Result<Self, CatalogError> {
        let mut images = BTreeMap::new();
        for name in super::image_names(root)? {
            if let Some(kept) = self.look_at(root, &name, files)? {
                images.insert(name, kept);
            }
        }
        Ok(Self(Arc::new(images)))
    }

    /// The same where only this image can have changed.
    ///
    /// # Errors
    /// What reading met.
    pub fn update_image(
        &mut self,
        root: &Path,
        name: &ImageName,
        files: &impl ReadFile,
    ) -> Result<(), CatalogError> {
        let kept = self.look_at(root, name, files)?;
        let images = Arc::make_mut(&mut self.0);
        match kept {
            Some(kept) => drop(images.insert(name.clone(), kept)),
            None => drop(images.remove(name)),
        }
        Ok(())
    }

    /// An image as it is now; none where it is gone.
    fn look_at(
        &self,
        root: &Path,
        name: &ImageName,
        files: &impl ReadFile,
    ) -> Result<Option<Kept>, CatalogError> {
        let dir = image_dir(root, name);
        let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        let directory = match std::fs::symlink_metadata(&dir) {
            Err(error) if gone(&error) => return Ok(None),
            looked => looked.map(|metadata| DirectoryState::of(&metadata)),
        };
        let directory = directory.map_err(|source| CatalogError::Io { path: dir.clone(), source })?;
        if let Some(kept) = self.0.get(name).filter(|kept| kept.directory == directory) {
            return Ok(Some(kept.clone()));
        }
        let path = dir.join(MANIFEST_FILE);
        match files.read(&path) {
            // One that goes while we read is not there.
            Err(error) if gone(&error) => Ok(None),
            Err(source) => Err(CatalogError::Io { path, source }),
            Ok(bytes) => {
                let mut manifest = parse_manifest(path, &bytes)?;
                manifest.source.identity.without_samples();
                Ok(Some(Kept { directory, manifest: Arc::new(manifest) }))
            }
        }
    }

    /// How many images there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is an image of this name.
    pub fn contains(&self, name: &ImageName) -> bool {
        self.0.contains_key(name)
    }

    /// The manifest of one image.
    pub fn get(&self, name: &ImageName) -> Option<&Manifest> {
        self.0.get(name).map(|kept| kept.manifest.as_ref())
    }

    /// All of them, in order of name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Manifest> {
        self.0.values().map(|kept| kept.manifest.as_ref())
    }
}

impl DirectoryState {
    fn of(metadata: &std::fs::Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// When the directory of images was changed last; none where it is not there. It tells whether an image came or went.
///
/// # Errors
/// Those of the file system.
pub fn images_changed(root: &Path) -> io::Result<Option<(i64, i64)>> {
    match std::fs::symlink_metadata(images_dir(root)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        looked => looked.map(|metadata| Some((metadata.mtime(), metadata.mtime_nsec()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::fs;

    const MANIFEST: &str = r#"{"version":1,"name":"NAME","source":{"path":"/srv/a.raw","format":"raw",
        "virtual_size_bytes":1048576,"identity":{"size_bytes":1048576,"mtime_ns":1,"sample_digest":"00"}},
        "cache":{"bytes":6,"cluster_bytes":65536,"data_clusters":CLUSTERS,"zero_clusters":0},"boots":[],
        "confidence":"low","accelerator":"none","registered":"2026-11-21T10:15:30Z"}"#;

    /// As an import does it: a new directory takes the place of the old one.
    fn import(root: &Path, number: usize, clusters: u64) {
        let name = format!("image{number:05}");
        let (dir, part) = (images_dir(root).join(&name), images_dir(root).join(format!(".part-{name}")));
        fs::create_dir_all(&part).unwrap();
        let manifest = MANIFEST.replace("NAME", &name).replace("CLUSTERS", &clusters.to_string());
        fs::write(part.join(MANIFEST_FILE), manifest).unwrap();
        drop(fs::remove_dir_all(&dir));
        fs::rename(part, dir).unwrap();
    }

    #[test]
    fn ten_thousand_images_are_read_once_and_then_only_what_changed() {
        const COUNT: usize = 10_000;
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        (0..COUNT).for_each(|number| import(root, number, 1));
        let reads = Cell::new(0);
        let read = |path: &Path| {
            reads.set(reads.get() + 1);
            fs::read(path)
        };
        let first = Catalog::default().updated(root, &read).unwrap();
        assert_eq!((first.len(), reads.take()), (COUNT, COUNT));
        let mut again = first.updated(root, &read).unwrap();
        assert_eq!((again.len(), reads.take()), (COUNT, 0));

        import(root, COUNT, 1);
        import(root, 7, 2);
        fs::remove_dir_all(images_dir(root).join("image00008")).unwrap();
        let changed = first.updated(root, &read).unwrap();
        assert_eq!((changed.len(), reads.take()), (COUNT, 2));
        for number in [COUNT, 7, 8] {
            again.update_image(root, &format!("image{number:05}").parse().unwrap(), &read).unwrap();
        }
        assert_eq!((again.len(), reads.take()), (COUNT, 2));
        for catalog in [&changed, &again] {
            let of = |name: &str| catalog.get(&name.parse().unwrap()).map(|it| it.cache.data_clusters);
            assert_eq!([of("image00007"), of("image00008"), of("image10000")], [Some(2), None, Some(1)]);
            assert!(catalog.iter().map(|manifest| &manifest.name).is_sorted());
        }
        // Who has the first still has it as it was.
        assert_eq!(first.get(&"image00007".parse().unwrap()).unwrap().cache.data_clusters, 1);
    }

    #[test]
    fn a_manifest_that_cannot_be_read_is_named() {
        let dir = tempfile::tempdir().unwrap();
        import(dir.path(), 1, 1);
        let path = images_dir(dir.path()).join("image00001").join(MANIFEST_FILE);
        fs::write(&path, "{").unwrap();
        let error = Catalog::default().updated(dir.path(), &|path: &Path| fs::read(path)).unwrap_err();
        assert!(error.to_string().contains("image00001/manifest.json"), "{error}");
        assert!(
            Catalog::default()
                .updated(&dir.path().join("none"), &|path: &Path| fs::read(path))
                .unwrap()
                .is_empty()
        );
    }
}
