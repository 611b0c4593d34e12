//! Looking at a boot cache that somebody else made, before anything takes its bytes.
//!
//! Promises: no file that it names is opened; one that passes names none but the base, if any, and has
//! the base's size and our clusters. Whether it shows the base's bytes is another question (`compare`).

use super::inspect::Judged;
use super::run;
use super::{InspectError, Qemu};
use bootstash_base::error::{Classified, ErrorClass};
use bootstash_disk::formats::START_BYTES;
use bootstash_disk::qcow2::header::{self, Extensions, Qcow2Header};
use bootstash_disk::qcow2::inspect::check_limits;
use bootstash_disk::qcow2::{CLUSTER_BYTES, read_name};
use bootstash_disk::{ImageFormat, Source};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A file was not taken as a boot cache.
#[derive(Debug, thiserror::Error, Classified)]
pub enum InspectCacheError {
    /// Missing, unreadable.
    #[error("cannot read the cache {}; check the path, and that the registrar's host sees it", .path.display())]
    #[class(with = of_read)]
    Read {
        /// The file, by its path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no boot cache, or one of another disk.
    #[error(
        "{} cannot be the boot cache of {}: {why}; \
         give the cache.qcow2 that a registrar made of this image, or register it without a cache",
        .path.display(), .base.display()
    )]
    #[class(permanent)]
    Unfit {
        /// The file, by its path.
        path: PathBuf,
        /// The image it was given for.
        base: PathBuf,
        /// Why not.
        why: Unfit,
    },
    /// It is broken, or could not be checked.
    #[error(transparent)]
    #[class(source)]
    Damaged(#[from] InspectError),
}

/// A wrong path is the caller's to mend, a file that cannot be read the operator's.
fn of_read(error: &InspectCacheError) -> ErrorClass {
    match error {
        InspectCacheError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            ErrorClass::Permanent
        }
        _ => ErrorClass::Operator,
    }
}

/// Why a file cannot be the boot cache of a base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// A directory, a device, ….
    NotAFile,
    /// Its beginning is no qcow2 header.
    NotQcow2,
    /// It keeps its data in another file.
    DataFile,
    /// It is encrypted.
    Encrypted,
    /// It is marked as corrupt, or needs what no registrar writes.
    Features,
    /// It is chained onto another file.
    Backing {
        /// What its header names.
        named: PathBuf,
        /// The base it should name.
        base: PathBuf,
        /// The base's format.
        format: ImageFormat,
    },
    /// Its clusters are not of the size our writer uses.
    ClusterSize(u64),
    /// It is of a disk of another size.
    DiskSize {
        /// Its own, in bytes.
        cache: u64,
        /// The base's, in bytes.
        base: u64,
    },
    /// It is compressed.
    Compressed,
    /// It has no cluster with data, and would be no help to any boot.
    Empty,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAFile => f.write_str("it is no regular file"),
            Self::NotQcow2 => f.write_str("it is no qcow2 file"),
            Self::DataFile => f.write_str("it keeps its data in another file"),
            Self::Encrypted => f.write_str("it is encrypted"),
            Self::Features => {
                f.write_str("it is marked as corrupt or in use, or needs what no registrar writes")
            }
            Self::Backing { named, base, format } => write!(
                f,
                "it is chained onto {} (should that be the same image under another path, \
                 change the name in a copy: qemu-img rebase -u -F {format} -b {} COPY)",
                named.display(),
                base.display()
            ),
            Self::ClusterSize(bytes) => write!(f, "its clusters are of {bytes} bytes, not {CLUSTER_BYTES}"),
            Self::DiskSize { cache, base } => write!(f, "it is of a disk of {cache} bytes, not {base}"),
            Self::Compressed => f.write_str("it is compressed"),
            Self::Empty => f.write_str("it holds no data"),
        }
    }
}

impl Qemu {
    /// Looks at the file at `path`, which is to be the boot cache of `base`; returns its size in bytes.
    ///
    /// # Errors
    /// Refuses what could lead to other files, what is broken, and what is not of `base`'s form: see
    /// [`InspectCacheError`].
    pub async fn inspect_cache(&self, path: &Path, base: &Source) -> Result<u64, InspectCacheError> {
        let path = run::absolute(path);
        let unfit = |why| InspectCacheError::Unfit { path: path.clone(), base: base.path.clone(), why };
        let seen = look(path.clone())
            .await
            .map_err(|source| InspectCacheError::Read { path: path.clone(), source })?;
        let Some(seen) = seen else { return Err(unfit(Unfit::NotAFile)) };
        let header = fits(&seen, base).map_err(unfit)?;
        if header.tables_end() > seen.size_bytes {
            return Err(InspectError::Truncated { path: path.clone(), size_bytes: seen.size_bytes }.into());
        }
        check_limits(&header)
            .map_err(|violation| InspectError::Malformed { path: path.clone(), violation })?;
        self.refuse_damage(Judged { path: &path, file: &seen.file, size_bytes: seen.size_bytes, header })
            .await?;
        Ok(seen.size_bytes)
    }
}

/// What of a file is needed to judge it.
#[derive(Debug)]
struct Seen {
    file: File,
    size_bytes: u64,
    header: Option<Qcow2Header>,
    extensions: Option<Extensions>,
    backing: Option<PathBuf>,
}

async fn look(path: PathBuf) -> io::Result<Option<Seen>> {
    let looking = tokio::task::spawn_blocking(move || look_blocking(&path));
    looking.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// Nothing where there is no regular file: opening a pipe would wait for whoever writes to it.
fn look_blocking(path: &Path) -> io::Result<Option<Seen>> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Ok(None);
    }
    let file = File::open(path)?;
    let mut start = Vec::new();
    (&file).take(START_BYTES as u64).read_to_end(&mut start)?;
    let header = header::parse(&start);
    let extensions = header.and_then(|header| Extensions::read(&header, &start));
    let backing = header.and_then(|header| header.backing).map(|at| read_name(&file, at)).transpose()?;
    Ok(Some(Seen { file, size_bytes: metadata.len(), header, extensions, backing }))
}

fn fits(seen: &Seen, base: &Source) -> Result<Qcow2Header, Unfit> {
    let header = seen.header.ok_or(Unfit::NotQcow2)?;
    let extensions = seen.extensions.clone().unwrap_or_default();
    match header {
        h if h.data_file(&extensions) => Err(Unfit::DataFile),
        h if h.encrypted(&extensions) => Err(Unfit::Encrypted),
        h if h.incompatible != 0 || seen.extensions.is_none() => Err(Unfit::Features),
        h if h.cluster_bytes() != Some(CLUSTER_BYTES) => {
            Err(Unfit::ClusterSize(h.cluster_bytes().unwrap_or(0)))
        }
        h if h.virtual_size_bytes != base.virtual_size_bytes => {
            Err(Unfit::DiskSize { cache: h.virtual_size_bytes, base: base.virtual_size_bytes })
        }
        _ => Ok(()),
    }?;
    match &seen.backing {
        Some(named) if *named != base.path => {
            Err(Unfit::Backing { named: named.clone(), base: base.path.clone(), format: base.format })
        }
        _ => Ok(header),
    }
}
