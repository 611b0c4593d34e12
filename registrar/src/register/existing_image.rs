//! What a name already stands for: the same image (fine) or another one (refused).

use bootstash_base::error::Classified;
use bootstash_base::names::ImageName;
use bootstash_delta::catalog;
use bootstash_delta::catalog::{CatalogError, Manifest};
use std::path::{Path, PathBuf};

/// What is registered under a name, for somebody who wants to register an image under it.
#[derive(Debug)]
pub enum ExistingImage {
    /// No image has this name.
    Absent,
    /// That very image, unchanged.
    Same(Box<Manifest>),
}

/// The name stands for something else.
#[derive(Debug, thiserror::Error, Classified)]
pub enum ExistingImageError {
    /// Another image.
    #[error(
        "image {name} is already registered from {}; choose another name, or `bootstash deregister {name}` first",
        .registered.display()
    )]
    #[class(permanent)]
    OtherSource {
        /// The name.
        name: ImageName,
        /// Where the registered image lies.
        registered: PathBuf,
    },
    /// The image has changed under its cache.
    #[error(
        "image {name} has changed since it was registered ({}); \
         `bootstash deregister {name}` and register it again",
        .source_path.display()
    )]
    #[class(permanent)]
    Changed {
        /// The name.
        name: ImageName,
        /// The image, by its file.
        source_path: PathBuf,
    },
    /// The image cannot be looked at.
    #[error(transparent)]
    #[class(source)]
    Base(#[from] bootstash_disk::BaseReadError),
    /// The volume cannot be read.
    #[error(transparent)]
    #[class(operator)]
    Catalog(#[from] CatalogError),
}

/// What `name` stands for in the volume mounted at `mountpoint`, asked for `source`. Blocking, short.
///
/// # Errors
/// When it is another image or a changed one, or something cannot be read.
pub fn look_up(
    mountpoint: &Path,
    name: &ImageName,
    source: &Path,
) -> Result<ExistingImage, ExistingImageError> {
    let manifest = match catalog::read_manifest(mountpoint, name) {
        Err(CatalogError::NotFound { .. }) => return Ok(ExistingImage::Absent),
        read => read?,
    };
    if manifest.source.path != source {
        return Err(ExistingImageError::OtherSource { name: name.clone(), registered: manifest.source.path });
    }
    if !manifest.source.identity.matches(source)? {
        return Err(ExistingImageError::Changed { name: name.clone(), source_path: manifest.source.path });
    }
    Ok(ExistingImage::Same(Box::new(manifest)))
}
