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
/// Partition tables lie within.
const START_BYTES: u64 = 1 << 20;

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

    /// The beginning of an image's disk, which tells what boots it. What lies behind it reads as zeros where only QEMU
    /// reads the image.
    pub(super) async fn open_start(
        &self,
        path: &Path,
        format: ImageFormat,
        disk_bytes: u64,
    ) -> Result<DiskImage, OpenDiskError> {
        let owned = path.to_owned();
        let ours = on_disk(move || DiskImage::can_open(&owned, format)).await;
        if ours.map_err(|source| OpenImageError { path: path.to_owned(), format, source })? {
            return Ok(DiskImage::open(path, format, disk_bytes).await?);
        }
        let dir = std::env::temp_dir();
        let scratch = |source| OpenDiskError::Scratch { path: path.to_owned(), dir: dir.clone(), source };
        let served = serve(path, START_BYTES, &dir).map_err(scratch)?;
        let from = format!("if={}", argument(&node(IMAGE, format, &Value::Null)));
        let (block, to) = (format!("bs={START_BYTES}"), format!("of={DISK}"));
        let args = run::args([&"dd", &"-O", &"raw", &block, &"count=1", &from, &to]);
        let failed = |source| OpenDiskError::Convert {
            path: path.to_owned(),
            dir: dir.clone(),
            disk_bytes: START_BYTES,
            source,
        };
        let limits = Limits::METADATA;
        let copied = run::qemu_img_writing(served.place(), self.programs(), &args, limits, START_BYTES).await;
        let finished = copied.map_err(failed)?;
        if !finished.status.success() {
            return Err(failed(finished.unexpected()));
        }
        // Open it stays when its place goes.
        File::open(served.place().path().join(DISK)).and_then(DiskImage::of_bytes).map_err(scratch)
    }

    async fn convert(&self, image: &Source, dir: &Path, disk: &Path) -> Result<(), OpenDiskError> {
        let scratch =
            |source| OpenDiskError::Scratch { path: image.path.clone(), dir: dir.to_owned(), source };
        let size_bytes = image.virtual_size_bytes;
        let served = serve(&image.path, size_bytes, dir).map_err(scratch)?;
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

/// Serves the image at `path` in a place below `dir`, with an empty disk beside it.
fn serve(path: &Path, disk_bytes: u64, dir: &Path) -> io::Result<Served> {
    let place = Place::create_in(dir)?;
    File::create_new(place.path().join(DISK))?.set_len(disk_bytes)?;
    place.hand_over(DISK)?;
    let bytes = DiskImage::of_bytes(File::open(path)?)?;
    Served::start_in(place, [(IMAGE, Arc::new(bytes))])
}

async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}
