//! Looking at an image before anything trusts it.
//!
//! Promises: the format is found out here and never again; what begins like an image that leads elsewhere, or
//! that cannot be, is refused before any program sees it. What then walks through its tables is a process of
//! a user of its own, without network, with limits, which gets the image's bytes and no file. Nothing is left.

use super::in_use::InUse;
use super::run::{self, Finished, Limits};
use super::served::{Served, argument, node};
use super::{InspectError, Qemu, QemuFailure};
use bootstash_disk::formats::{self, END_BYTES, Found, START_BYTES};
use bootstash_disk::nbd::DiskImage;
use bootstash_disk::qcow2::header::{self, Qcow2Header};
use bootstash_disk::qcow2::inspect::{
    AllocatedBytes, DISK_BYTES, SECTOR_BYTES, check_allocation, inspect_header,
};
use bootstash_disk::{BaseIdentity, BaseReadError, ImageFormat, Source};
use nix::fcntl::OFlag;
use serde::Deserialize;
use serde_json::Value;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Under this name a tool finds the image.
const IMAGE: &str = "image";

/// A qcow2 file whose header was judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judged<'a> {
    pub(super) path: &'a Path,
    pub(super) file: &'a File,
    pub(super) size_bytes: u64,
    pub(super) header: Qcow2Header,
}

impl Qemu {
    /// Looks at the image at `path`; detects its format where none is given.
    ///
    /// # Errors
    /// Refuses what could lead QEMU to other files, what is broken and what is no disk: see
    /// [`InspectError`].
    pub async fn inspect(&self, path: &Path, format: Option<ImageFormat>) -> Result<Source, InspectError> {
        let path = run::absolute(path);
        let seen = look(path.clone()).await?;
        let size_bytes = seen.identity.size_bytes;
        let format = format.map_or_else(|| detect(&path, &seen), Ok)?;
        let header = match format {
            ImageFormat::Qcow2 => Some(refuse_by_header(&path, &seen.start, size_bytes)?),
            _ => None,
        };
        match seen.written {
            InUse::Yes => return Err(InspectError::InUse { path }),
            InUse::No => (),
            InUse::Unknown => tracing::info!(
                "the storage of {} has no byte-range locks: whether a VM writes to it is unknown",
                path.display()
            ),
        }
        let virtual_size_bytes = match (format, header) {
            (ImageFormat::Raw, _) => raw_size(&path, size_bytes)?,
            (_, Some(header)) => {
                self.look_through(Judged { path: &path, file: &seen.file, size_bytes, header }).await?;
                header.virtual_size_bytes
            }
            (format, None) => self.look_through_foreign(&path, format, &seen).await?,
        };
        let firmware = self.recognise_firmware(&path, format, virtual_size_bytes).await?;
        Ok(Source { path, format, virtual_size_bytes, identity: seen.identity, firmware })
    }

    /// Refuses a qcow2 file that QEMU sees otherwise than we do, or whose tables do not hold together.
    async fn look_through(&self, image: Judged<'_>) -> Result<(), InspectError> {
        let served = serve(image)?;
        self.ask(&served, image).await?;
        self.walk(&served, image).await
    }

    /// Refuses a qcow2 file whose tables do not hold together. Its backing file, if any, is not opened.
    pub(super) async fn refuse_damage(&self, image: Judged<'_>) -> Result<(), InspectError> {
        self.walk(&serve(image)?, image).await
    }

    async fn ask(&self, served: &Served, image: Judged<'_>) -> Result<(), InspectError> {
        let finished = self.tool(served, image, "info", Limits::METADATA).await?;
        match finished.status.code() {
            Some(0) => agree(image, &read_json(image, finished)?),
            Some(1) if finished.stderr.contains("Could not open") => Err(unsound(image, &finished.stderr)),
            _ => Err(other(image, finished.unexpected())),
        }
    }

    /// `qemu-img info` passes on a truncated file as long as the header is whole; only a walk over
    /// all references finds those which point past its end.
    async fn walk(&self, served: &Served, image: Judged<'_>) -> Result<(), InspectError> {
        let finished = self.tool(served, image, "check", Limits::reading(image.size_bytes)).await?;
        // 0: sound, 2: corrupt, 3: leaks only, which harm no reader. Others, such as 1: not checked;
        // a file cut within its tables ends so.
        match finished.status.code() {
            Some(0 | 2 | 3) => {
                let complaints = finished.stderr.clone();
                inspect_check(image, &read_json(image, finished)?, &complaints)
            }
            Some(_) if !finished.stderr.is_empty() => Err(unsound(image, &finished.stderr)),
            _ => Err(other(image, finished.unexpected())),
        }
    }

    async fn tool(
        &self,
        served: &Served,
        image: Judged<'_>,
        verb: &str,
        limits: Limits,
    ) -> Result<Finished, InspectError> {
        let asked = self.ask_tool(served, ImageFormat::Qcow2, verb, limits).await;
        asked.map_err(|source| other(image, source))
    }

    pub(super) async fn ask_tool(
        &self,
        served: &Served,
        format: ImageFormat,
        verb: &str,
        limits: Limits,
    ) -> Result<Finished, QemuFailure> {
        let alone = argument(&node(IMAGE, format, &Value::Null));
        let args = run::args([&verb, &"--output=json", &"--", &alone]);
        served.qemu_img(self.programs(), &args, limits).await
    }
}

fn serve(image: Judged<'_>) -> Result<Served, InspectError> {
    serve_file(image.path, image.file)
}

pub(super) fn serve_file(path: &Path, file: &File) -> Result<Served, InspectError> {
    let bytes = file.try_clone().and_then(DiskImage::of_bytes);
    let served = bytes.and_then(|bytes| Served::start([(IMAGE, Arc::new(bytes))]));
    served.map_err(|source| InspectError::Serve { path: path.to_owned(), source })
}

/// What `qemu-img info` says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Info {
    pub(super) virtual_size: u64,
    #[serde(default)]
    pub(super) encrypted: bool,
    pub(super) backing_filename: Option<String>,
}

/// What `qemu-img check` says.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Check {
    corruptions: u64,
    check_errors: u64,
    allocated_clusters: u64,
    compressed_clusters: u64,
}

impl Check {
    fn allocated(&self, cluster_bytes: u64) -> AllocatedBytes {
        let bytes = |clusters: u64| clusters.saturating_mul(cluster_bytes);
        let plain = self.allocated_clusters.saturating_sub(self.compressed_clusters);
        AllocatedBytes { plain_bytes: bytes(plain), compressed_bytes: bytes(self.compressed_clusters) }
    }
}

/// What is seen of a file without asking anybody.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) file: File,
    pub(super) identity: BaseIdentity,
    pub(super) start: Vec<u8>,
    pub(super) end: Vec<u8>,
    /// Whether a QEMU may write to it.
    written: InUse,
}

async fn look(path: PathBuf) -> Result<Seen, InspectError> {
    let looking = tokio::task::spawn_blocking(move || {
        let identity = BaseIdentity::of(&path)?;
        look_blocking(&path, identity).map_err(|source| BaseReadError::Io { path, source }.into())
    });
    looking.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

fn look_blocking(path: &Path, identity: BaseIdentity) -> io::Result<Seen> {
    // Another file may have taken its place: a pipe would wait for whoever writes to it.
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = File::options().read(true).custom_flags(flags.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file any more"));
    }
    let mut start = Vec::new();
    (&file).take(START_BYTES as u64).read_to_end(&mut start)?;
    let end_bytes = END_BYTES.min(start.len());
    let mut end = vec![0; end_bytes];
    file.read_exact_at(&mut end, identity.size_bytes.saturating_sub(end_bytes as u64))?;
    let written = InUse::for_writing(&file)?;
    Ok(Seen { file, identity, start, end, written })
}

fn detect(path: &Path, seen: &Seen) -> Result<ImageFormat, InspectError> {
    match formats::detect(&seen.start, &seen.end) {
        Found::Ours(format) => Ok(format),
        Found::Foreign(formats::LUKS) => Err(InspectError::Encrypted { path: path.to_owned() }),
        Found::Packed(packing) => Err(InspectError::Packed { path: path.to_owned(), packing }),
        Found::Foreign(found) => Err(InspectError::Format { path: path.to_owned(), found: found.to_owned() }),
    }
}

/// The size a guest sees of a raw file: whole sectors.
fn raw_size(path: &Path, size_bytes: u64) -> Result<u64, InspectError> {
    let virtual_size_bytes = size_bytes.saturating_add(SECTOR_BYTES - 1) / SECTOR_BYTES * SECTOR_BYTES;
    if DISK_BYTES.contains(&virtual_size_bytes) {
        return Ok(virtual_size_bytes);
    }
    Err(InspectError::Size { path: path.to_owned(), virtual_size_bytes })
}

fn refuse_by_header(path: &Path, start: &[u8], size_bytes: u64) -> Result<Qcow2Header, InspectError> {
    let path = path.to_owned();
    if !header::is_qcow(start) {
        return Err(InspectError::NotQcow2 { path });
    }
    let Some(header) = header::parse(start) else {
        return Err(InspectError::Corrupt { path, found: "its header makes no sense".to_owned() });
    };
    inspect_header(&header, start, size_bytes)
        .map_err(|refusal| InspectError::of(refusal, &path, &header, size_bytes))?;
    Ok(header)
}

/// The header has said so already; this holds should QEMU read one where we do not.
fn agree(image: Judged<'_>, info: &Info) -> Result<(), InspectError> {
    let path = || image.path.to_owned();
    match info {
        info if info.encrypted => Err(InspectError::Encrypted { path: path() }),
        info if info.backing_filename.is_some() => Err(InspectError::Backing { path: path() }),
        info if info.virtual_size != image.header.virtual_size_bytes => {
            let found = format!("QEMU takes it for a disk of {} bytes", info.virtual_size);
            Err(InspectError::Corrupt { path: path(), found })
        }
        _ => Ok(()),
    }
}

/// `complaints` is what the check said, beginning with its first: references past the end come
/// before whatever follows from them.
fn inspect_check(image: Judged<'_>, check: &Check, complaints: &str) -> Result<(), InspectError> {
    let (path, size_bytes) = (|| image.path.to_owned(), image.size_bytes);
    let errors = check.corruptions.saturating_add(check.check_errors);
    if errors > 0 && (complaints.contains("end of the file") || complaints.contains("outside image")) {
        return Err(InspectError::Truncated { path: path(), size_bytes });
    }
    if errors > 0 {
        let found = format!("qemu-img check counts {errors} errors");
        return Err(InspectError::Corrupt { path: path(), found });
    }
    let allocated = check.allocated(image.header.cluster_bytes().unwrap_or(u64::MAX));
    check_allocation(allocated, image.header.compression, size_bytes)
        .map_err(|violation| InspectError::Malformed { path: path(), violation })
}

fn unsound(image: Judged<'_>, said: &str) -> InspectError {
    corrupt(image.path, ImageFormat::Qcow2, said)
}

pub(super) fn corrupt(path: &Path, format: ImageFormat, said: &str) -> InspectError {
    // A tool knows the image by the name it is served under.
    let alone = argument(&node(IMAGE, format, &Value::Null));
    let found = said.replace(&alone, &path.to_string_lossy());
    InspectError::Corrupt { path: path.to_owned(), found }
}

fn other(image: Judged<'_>, source: QemuFailure) -> InspectError {
    InspectError::Other { path: image.path.to_owned(), source }
}

fn read_json<T: serde::de::DeserializeOwned>(
    image: Judged<'_>,
    finished: Finished,
) -> Result<T, InspectError> {
    serde_json::from_slice(&finished.stdout)
        .map_err(|source| other(image, QemuFailure::Answer { command: finished.command, source }))
}
