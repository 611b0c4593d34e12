//! Reading an image: raw by itself, most of qcow2 through `imago`, which is never let open a file.

use super::{BlockSource, Extent, ExtentKind};
use crate::qcow2::header;
use crate::{ImageFormat, raw_file};
use async_trait::async_trait;
use bootstash_base::error::Classified;
use imago::file::File as ImagoFile;
use imago::qcow2::Qcow2;
use imago::{DenyImplicitOpenGate, FormatAccess, FormatDriverBuilder, Mapping, StorageOpenOptions};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

const SECTOR_BYTES: u64 = 512;
const READ_THREADS: usize = 32;

/// An image opened for reading. Cheap to clone.
#[derive(Clone, Debug)]
pub struct DiskImage(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    size_bytes: u64,
    disk: Disk,
    /// `imago` is asynchronous in form and blocks in fact; so it runs on threads made for blocking.
    runtime: Handle,
    /// How many such threads its clients' reads have, and can lose to storage that hangs.
    reads: Arc<Semaphore>,
}

#[derive(Debug)]
enum Disk {
    Raw(File),
    Qcow2(FormatAccess<ImagoFile>),
}

/// An image could not be opened.
#[derive(Debug, thiserror::Error, Classified)]
#[error("cannot open the {format} image {}", .path.display())]
#[class(operator)]
pub struct OpenImageError {
    /// The image, by its file.
    pub path: PathBuf,
    /// Its format.
    pub format: ImageFormat,
    /// What the system said.
    pub source: io::Error,
}

impl DiskImage {
    /// Whether [`Self::open`] can read an image that was inspected: other formats it cannot, nor qcow2 files that are
    /// compressed by zstd or have subclusters. Blocks.
    ///
    /// # Errors
    /// What reading its header met.
    pub fn can_open(path: &Path, format: ImageFormat) -> io::Result<bool> {
        match format {
            ImageFormat::Raw => Ok(true),
            ImageFormat::Qcow2 => {
                let mut start = Vec::with_capacity(header::HEADER_BYTES);
                File::open(path)?.take(header::HEADER_BYTES as u64).read_to_end(&mut start)?;
                let needs = header::COMPRESSION_TYPE | header::EXTENDED_L2;
                Ok(header::parse(&start).is_none_or(|header| !header.has(needs)))
            }
            ImageFormat::Vmdk | ImageFormat::Vdi | ImageFormat::Vhdx | ImageFormat::Vpc => Ok(false),
        }
    }

    /// Opens an image that was inspected: a disk of `size_bytes`, which may be more than a raw file
    /// has, by less than a sector.
    ///
    /// # Errors
    /// Where it cannot be opened, or names another file.
    pub async fn open(path: &Path, format: ImageFormat, size_bytes: u64) -> Result<Self, OpenImageError> {
        let (owned, runtime) = (path.to_owned(), Handle::current());
        let opened = blocking(move || open_disk(&owned, format, &Handle::current())).await;
        let disk = opened.map_err(|source| OpenImageError { path: path.to_owned(), format, source })?;
        Ok(Self::of_disk(disk, size_bytes, runtime))
    }

    /// The bytes of a file as they are, whatever they mean, and zeros up to a whole sector: for the rest of
    /// one QEMU's client waits for ever.
    ///
    /// # Errors
    /// Where its size cannot be told.
    pub fn of_bytes(file: File) -> io::Result<Self> {
        let size_bytes = file.metadata()?.len().next_multiple_of(SECTOR_BYTES);
        Ok(Self::of_disk(Disk::Raw(file), size_bytes, Handle::current()))
    }

    fn of_disk(disk: Disk, size_bytes: u64, runtime: Handle) -> Self {
        let reads = Arc::new(Semaphore::new(READ_THREADS));
        Self(Arc::new(Inner { size_bytes, disk, runtime, reads }))
    }

    /// Fills `buffer` from `offset`; what lies past the end reads as zeros. Blocks.
    ///
    /// # Errors
    /// What reading met.
    pub fn read_blocking(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match &self.0.disk {
            Disk::Raw(file) => raw_file::read_padded(file, buffer, offset),
            Disk::Qcow2(image) => self.0.runtime.block_on(image.read(buffer, offset)),
        }
    }

    /// The part that begins at `offset`: as long as it is of one kind. Blocks.
    ///
    /// # Errors
    /// What looking at the file met.
    pub fn extent_blocking(&self, offset: u64) -> io::Result<Extent> {
        let rest = self.0.size_bytes.saturating_sub(offset);
        let (kind, length) = match &self.0.disk {
            Disk::Raw(file) => raw_file::extent(file, offset)?,
            Disk::Qcow2(image) => self.0.runtime.block_on(qcow2_extent(image, offset, rest))?,
        };
        Ok(Extent { offset, length: length.min(rest), kind })
    }

    /// Size of the disk, in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.0.size_bytes
    }
}

#[async_trait]
impl BlockSource for DiskImage {
    fn size_bytes(&self) -> u64 {
        self.0.size_bytes
    }

    /// The thread of a read that is dropped goes on until the kernel lets it go; then its buffer goes, too.
    async fn read(&self, buffer: &mut Vec<u8>, offset: u64) -> io::Result<()> {
        let permit = Arc::clone(&self.0.reads).acquire_owned().await.map_err(io::Error::other)?;
        let (base, mut taken) = (self.clone(), std::mem::take(buffer));
        let (filled, read) = blocking(move || {
            let read = base.read_blocking(&mut taken, offset);
            drop(permit);
            Ok((taken, read))
        })
        .await?;
        *buffer = filled;
        read
    }
}

fn open_disk(path: &Path, format: ImageFormat, runtime: &Handle) -> io::Result<Disk> {
    let file = File::open(path)?;
    match format {
        ImageFormat::Raw => Ok(Disk::Raw(file)),
        ImageFormat::Qcow2 => {
            let storage = ImagoFile::from_open_file(file, StorageOpenOptions::new())?;
            let opening = Qcow2::<ImagoFile>::builder(storage).open(DenyImplicitOpenGate::default());
            Ok(Disk::Qcow2(FormatAccess::new(runtime.block_on(opening)?)))
        }
        ImageFormat::Vmdk | ImageFormat::Vdi | ImageFormat::Vhdx | ImageFormat::Vpc => {
            Err(io::Error::other("only QEMU reads this format"))
        }
    }
}

async fn qcow2_extent(
    image: &FormatAccess<ImagoFile>,
    offset: u64,
    rest: u64,
) -> io::Result<(ExtentKind, u64)> {
    let (mapping, length) = image.get_mapping(offset, rest).await?;
    match mapping {
        Mapping::Zero { .. } => Ok((ExtentKind::Zero, length)),
        Mapping::Eof { .. } => Ok((ExtentKind::Zero, rest)),
        _ => Ok((ExtentKind::Data, length)),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|failure| Err(io::Error::other(failure)))
}
