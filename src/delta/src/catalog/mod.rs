//! What a volume holds: `images/<name>/cache.qcow2` and `images/<name>/manifest.json`.
//!
//! The volume describes itself; a copy of it needs no database.

mod doubt;
mod kept;
mod manifest;

pub use doubt::Doubt;
pub use kept::{Catalog, ReadFile, images_changed};
pub use manifest::{BootRecord, BootSignal, CacheFacts, Confidence, Manifest, Unbooted};

use bootstash_base::error::Classified;
use bootstash_base::names::ImageName;
use std::path::{Path, PathBuf};

/// File name of a boot cache within its image's directory.
pub const CACHE_FILE: &str = "cache.qcow2";
/// File name of a manifest within its image's directory.
pub const MANIFEST_FILE: &str = "manifest.json";

/// The directory of all images below a mounted volume or view.
pub fn images_dir(root: &Path) -> PathBuf {
    root.join("images")
}

/// The directory of one image.
pub fn image_dir(root: &Path, name: &ImageName) -> PathBuf {
    images_dir(root).join(name.as_str())
}

/// The boot cache of one image.
pub fn cache_path(root: &Path, name: &ImageName) -> PathBuf {
    image_dir(root, name).join(CACHE_FILE)
}

/// A volume's content could not be read.
#[derive(Debug, thiserror::Error, Classified)]
#[class(operator)]
pub enum CatalogError {
    /// No such image.
    #[error("no image {name} is registered here; `bootstash images` lists those that are")]
    #[class(permanent)]
    NotFound {
        /// The image, by its registered name.
        name: ImageName,
    },
    /// A file or directory could not be read.
    #[error("cannot read {}", .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A manifest is not what we write.
    #[error("{} is not a manifest this version can read", .path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What the parser said.
        source: serde_json::Error,
    },
}

/// The manifest of one image below a mounted volume or view.
///
/// # Errors
/// `NotFound` where there is no such image; else what reading met.
pub fn read_manifest(root: &Path, name: &ImageName) -> Result<Manifest, CatalogError> {
    let path = image_dir(root, name).join(MANIFEST_FILE);
    match std::fs::read(&path) {
        Ok(bytes) => parse_manifest(path, &bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(CatalogError::NotFound { name: name.clone() })
        }
        Err(source) => Err(CatalogError::Io { path, source }),
    }
}

fn parse_manifest(path: PathBuf, bytes: &[u8]) -> Result<Manifest, CatalogError> {
    serde_json::from_slice(bytes).map_err(|source| CatalogError::Manifest { path, source })
}

/// The manifests of all images below a mounted volume or view, in order of name, without the samples of their bases. A
/// directory whose name is no image name (an import under way) is passed over.
///
/// # Errors
/// What reading met.
pub fn read_all(root: &Path) -> Result<Vec<Manifest>, CatalogError> {
    // One that goes while we read is not there.
    let manifests = image_names(root)?.into_iter().map(|name| read_manifest(root, &name));
    let there = manifests.filter(|read| !matches!(read, Err(CatalogError::NotFound { .. })));
    let listed = |mut manifest: Manifest| {
        manifest.source.identity.without_samples();
        manifest
    };
    there.map(|read| read.map(listed)).collect()
}

fn image_names(root: &Path) -> Result<Vec<ImageName>, CatalogError> {
    let dir = images_dir(root);
    let entries = match std::fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(CatalogError::Io { path: dir, source }),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| CatalogError::Io { path: dir.clone(), source })?;
        names.extend(entry.file_name().to_str().and_then(|text| text.parse::<ImageName>().ok()));
    }
    names.sort();
    Ok(names)
}
