//! Opening an image that was inspected, to read its disk, in whatever format it is.
//!
//! Promises: what we cannot read ourselves a process of a user of its own reads, as when it was inspected; it writes one
//! file, the disk's bytes as they are, in a directory of ours, and that file is what is read from then on.

use super::place::Place;
use super::run::{self, Limits};
use super::served::{Served, argument, node};
use super::{Qemu, QemuFailure};
use bootstash_base::error::Classified;
use bootstash_disk::nbd::{DiskImage, OpenImageError};
use bootstash_disk::{ImageFormat, Source};
use serde_json::Value;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Under this name the tool finds the image, and under that it writes the disk.
const IMAGE: &str = "image";
const DISK: &str = "disk";

/// An image's disk cannot be read.
#[derive(Debug, thiserror::Error, Classified)]
pub enum OpenDiskError {
    /// The image cannot be opened.
    #[error(transparent)]
    #[class(source)]
    Open(#[from] OpenImageError),
    /// Where its disk is to be written.
    #[error("cannot prepare {} for the disk of {}; check that it can be written to", .dir.display(), .path.display())]
    #[class(operator)]
    Scratch {
        /// The image, by its file.
        path: PathBuf,
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Its disk could not be written.
    #[error(
        "cannot write the disk of {} as raw to {}, which takes up to {disk_bytes} bytes; \
         free that much, or convert it: qemu-img convert -O qcow2 {} image.qcow2",
        .path.display(), .dir.display(), .path.display()
    )]
    #[class(source)]
    Convert {
        /// The image, by its file.
        path: PathBuf,
        /// The directory.
        dir: PathBuf,
        /// Size of the disk.
        disk_bytes: u64,
        /// How the QEMU program failed.
        source: QemuFailure,
    },
}

impl Qemu {
    /// Opens the disk of `image`, which was inspected. One that only QEMU reads is first written to `dir`, without its
    /// zeros; that file goes with `dir`.
    ///
    /// # Errors
    /// See [`OpenDiskError`].
    pub async fn open_image(&self, image: &Source, dir: &Path) -> Result<DiskImage, OpenDiskError> {
        let (path, format) = (image.path.clone(), image.format);
        let ours = on_disk(move || DiskImage::can_open(&path, format)).await;
        let size_bytes = image.virtual_size_bytes;
        if ours.map_err(|source| OpenImageError { path: image.path.clone(), format, source })? {
            return Ok(DiskImage::open(&image.path, format, size_bytes).await?);
        }
        let disk = dir.join("disk.raw");
        self.convert(image, dir, &disk).await?;
        Ok(DiskImage::open(&disk, ImageFormat::Raw, size_bytes).await?)
    }

    async fn convert(&self, image: &Source, dir: &Path, disk: &Path) -> Result<(), OpenDiskError> {
        let scratch =
            |source| OpenDiskError::Scratch { path: image.path.clone(), dir: dir.to_owned(), source };
        let size_bytes = image.virtual_size_bytes;
        let served = serve(image, dir).map_err(scratch)?;
        let from = argument(&node(IMAGE, image.format, &Value::Null));
        let args = run::args([&"convert", &"-n", &"--target-is-zero", &"-O", &"raw", &"--", &from, &DISK]);
        let limits = Limits::reading(size_bytes.max(image.identity.size_bytes));
        let converted =
            run::qemu_img_writing(served.place(), self.programs(), &args, limits, size_bytes).await;
        let failed = |source| OpenDiskError::Convert {
            path: image.path.clone(),
            dir: dir.to_owned(),
            disk_bytes: size_bytes,
            source,
        };
        let finished = converted.map_err(failed)?;
        if !finished.status.success() {
            return Err(failed(finished.unexpected()));
        }
        served.place().take_back(DISK, disk).map_err(scratch)
    }
}

/// Serves the image in a place below `dir`, with an empty disk beside it.
fn serve(image: &Source, dir: &Path) -> io::Result<Served> {
    let place = Place::create_in(dir)?;
    File::create_new(place.path().join(DISK))?.set_len(image.virtual_size_bytes)?;
    place.hand_over(DISK)?;
    let bytes = DiskImage::of_bytes(File::open(&image.path)?)?;
    Served::start_in(place, [(IMAGE, Arc::new(bytes))])
}

async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}
