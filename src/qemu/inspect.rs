//! Looking at an image before anything trusts it.

use super::header::{self, HEADER_BYTES};
use super::run::{self, Finished, Limits};
use super::{InspectError, Qemu, QemuFailure};
use crate::catalog::{BaseIdentity, BaseReadError, ImageFormat, Source};
use serde::Deserialize;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

const MIN_DISK_BYTES: u64 = 512;
const MAX_DISK_BYTES: u64 = 64 << 40;

impl Qemu {
    /// Looks at the image at `path`; detects its format where none is given.
    ///
    /// # Errors
    /// Refuses what could lead QEMU to other files, what is broken and what is no disk: see
    /// [`InspectError`].
    pub async fn inspect(&self, path: &Path, format: Option<ImageFormat>) -> Result<Source, InspectError> {
        let path = run::absolute(path);
        let (identity, start) = look(path.clone()).await?;
        refuse_by_header(&path, format, &start, identity.size_bytes)?;
        let info = self.info(&path, format).await?;
        let format = accept(&path, &info)?;
        if format == ImageFormat::Qcow2 {
            self.refuse_damage(&path, identity.size_bytes).await?;
        }
        Ok(Source { path, format, virtual_size_bytes: info.virtual_size, identity })
    }

    async fn info(&self, path: &Path, format: Option<ImageFormat>) -> Result<Info, InspectError> {
        let mut args = run::args([&"info", &"--output=json"]);
        if let Some(format) = format {
            args.extend(run::args([&"-f", &format.as_str()]));
        }
        args.extend(run::args([&"--", &path]));
        let other = |source| InspectError::Other { path: path.to_owned(), source };
        let finished = run::qemu_img(self.programs(), &args, Limits::METADATA).await.map_err(other)?;
        if !finished.status.success() {
            return Err(failed_info(path, finished));
        }
        read_json(finished).map_err(other)
    }

    /// `qemu-img info` passes on a truncated file as long as the header is whole; only a walk over
    /// all references finds those which point past its end.
    pub(super) async fn refuse_damage(&self, path: &Path, size_bytes: u64) -> Result<(), InspectError> {
        let other = |source| InspectError::Other { path: path.to_owned(), source };
        let alone = run::alone(path);
        let args = run::args([&"check", &"--output=json", &"--", &alone]);
        let finished =
            run::qemu_img(self.programs(), &args, Limits::reading(size_bytes)).await.map_err(other)?;
        // 0: sound, 2: corrupt, 3: leaks only, which harm no reader. Others, such as 1: not checked;
        // a file cut within its tables ends so.
        match finished.status.code() {
            Some(0 | 2 | 3) => {
                let complaints = finished.stderr.clone();
                judge(path, size_bytes, &read_json(finished).map_err(other)?, &complaints)
            }
            _ if finished.stderr.is_empty() => Err(other(finished.unexpected())),
            _ => {
                let found = finished.stderr.replace(&alone, &path.to_string_lossy());
                Err(InspectError::Corrupt { path: path.to_owned(), found })
            }
        }
    }
}

/// What `qemu-img info` says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Info {
    format: String,
    virtual_size: u64,
    #[serde(default)]
    encrypted: bool,
    backing_filename: Option<String>,
}

/// What `qemu-img check` says.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Check {
    corruptions: u64,
    check_errors: u64,
}

async fn look(path: PathBuf) -> Result<(BaseIdentity, Vec<u8>), InspectError> {
    let read = tokio::task::spawn_blocking(move || {
        let identity = BaseIdentity::of(&path)?;
        let start = first_bytes(&path).map_err(|source| BaseReadError::Io { path, source })?;
        Ok((identity, start))
    });
    read.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

fn first_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut start = Vec::with_capacity(HEADER_BYTES);
    File::open(path)?.take(HEADER_BYTES as u64).read_to_end(&mut start)?;
    Ok(start)
}

fn refuse_by_header(
    path: &Path,
    format: Option<ImageFormat>,
    start: &[u8],
    size_bytes: u64,
) -> Result<(), InspectError> {
    let path = || path.to_owned();
    if let (None, Some(found)) = (format, header::names_other_files(start)) {
        return Err(InspectError::Format { path: path(), found: found.to_owned() });
    }
    match (format, header::is_qcow2(start)) {
        (Some(ImageFormat::Raw), _) | (None, false) => return Ok(()),
        (Some(ImageFormat::Qcow2), false) => return Err(InspectError::NotQcow2 { path: path() }),
        (Some(ImageFormat::Qcow2) | None, true) => (),
    }
    let Some(header) = header::parse(start) else {
        return Err(InspectError::Corrupt { path: path(), found: "its header makes no sense".to_owned() });
    };
    match header {
        h if h.data_file => Err(InspectError::DataFile { path: path() }),
        h if h.backing.is_some() => Err(InspectError::Backing { path: path() }),
        h if h.encrypted => Err(InspectError::Encrypted { path: path() }),
        h if h.marked_corrupt => {
            Err(InspectError::Corrupt { path: path(), found: "it is marked as corrupt".to_owned() })
        }
        h if h.tables_end > size_bytes => Err(InspectError::Truncated { path: path(), size_bytes }),
        _ => Ok(()),
    }
}

fn accept(path: &Path, info: &Info) -> Result<ImageFormat, InspectError> {
    let path = || path.to_owned();
    let Ok(format) = info.format.parse() else {
        return Err(InspectError::Format { path: path(), found: info.format.clone() });
    };
    // The header has said no to both; this holds should QEMU read one where we do not.
    if info.encrypted {
        return Err(InspectError::Encrypted { path: path() });
    }
    if info.backing_filename.is_some() {
        return Err(InspectError::Backing { path: path() });
    }
    if !(MIN_DISK_BYTES..=MAX_DISK_BYTES).contains(&info.virtual_size) {
        return Err(InspectError::Size { path: path(), virtual_size_bytes: info.virtual_size });
    }
    Ok(format)
}

/// `complaints` is what the check said, beginning with its first: references past the end come
/// before whatever follows from them.
fn judge(path: &Path, size_bytes: u64, check: &Check, complaints: &str) -> Result<(), InspectError> {
    let path = || path.to_owned();
    match check.corruptions + check.check_errors {
        0 => Ok(()),
        _ if complaints.contains("end of the file") || complaints.contains("outside image") => {
            Err(InspectError::Truncated { path: path(), size_bytes })
        }
        errors => Err(InspectError::Corrupt {
            path: path(),
            found: format!("qemu-img check counts {errors} errors"),
        }),
    }
}

fn failed_info(path: &Path, finished: Finished) -> InspectError {
    if finished.stderr.contains("lock") && finished.stderr.contains("another process") {
        return InspectError::InUse { path: path.to_owned() };
    }
    if finished.status.code() == Some(1) && finished.stderr.contains("Could not open") {
        return InspectError::Corrupt { path: path.to_owned(), found: finished.stderr };
    }
    InspectError::Other { path: path.to_owned(), source: finished.unexpected() }
}

fn read_json<T: serde::de::DeserializeOwned>(finished: Finished) -> Result<T, QemuFailure> {
    serde_json::from_slice(&finished.stdout)
        .map_err(|source| QemuFailure::Answer { command: finished.command, source })
}
