//! Looking at an image in another program's format: what it is by its bytes, then how large its disk is, and whether it
//! holds together, by QEMU in a process of its own.

use super::inspect::{Info, Seen, corrupt, serve_file};
use super::run::{Finished, Limits};
use super::{InspectError, Qemu, QemuFailure};
use bootstash_disk::ImageFormat;
use bootstash_disk::foreign::{Incomplete, is_truncated, stands_alone};
use bootstash_disk::formats::can_be;
use bootstash_disk::qcow2::inspect::{DISK_BYTES, SECTOR_BYTES};
use serde::Deserialize;
use std::path::Path;

/// `qemu-img check` of a format without a check ends so.
const NOT_CHECKED: i32 = 63;

/// What `qemu-img check` says.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Check {
    corruptions: u64,
    check_errors: u64,
}

impl Qemu {
    /// Size of the image's disk, if it may be used.
    pub(super) async fn look_through_foreign(
        &self,
        path: &Path,
        format: ImageFormat,
        seen: &Seen,
    ) -> Result<u64, InspectError> {
        by_bytes(path, format, seen)?;
        let served = serve_file(path, &seen.file)?;
        let other = |source| InspectError::Other { path: path.to_owned(), source };
        let info = self.ask_tool(&served, format, "info", Limits::METADATA).await.map_err(other)?;
        let virtual_size_bytes = disk_size(path, format, info)?;
        let limits = Limits::reading(seen.identity.size_bytes);
        let check = self.ask_tool(&served, format, "check", limits).await.map_err(other)?;
        refuse_damage(path, format, check).map(|()| virtual_size_bytes)
    }
}

fn by_bytes(path: &Path, format: ImageFormat, seen: &Seen) -> Result<(), InspectError> {
    let path = || path.to_owned();
    if !can_be(format, &seen.start, &seen.end) {
        return Err(InspectError::NotAs { path: path(), format });
    }
    let size_bytes = seen.identity.size_bytes;
    if is_truncated(format, &seen.start, size_bytes) {
        return Err(InspectError::Truncated { path: path(), size_bytes });
    }
    stands_alone(format, &seen.start, &seen.end).map_err(|incomplete| match incomplete {
        Incomplete::Backing => InspectError::Backing { path: path() },
        Incomplete::OtherFiles => InspectError::Format { path: path(), found: format.to_string() },
    })
}

fn disk_size(path: &Path, format: ImageFormat, finished: Finished) -> Result<u64, InspectError> {
    let path_owned = || path.to_owned();
    let info: Info = match finished.status.code() {
        Some(0) => read_json(path, finished)?,
        Some(1) if finished.stderr.contains("Could not open") => {
            return Err(corrupt(path, format, &finished.stderr));
        }
        _ => return Err(InspectError::Other { path: path_owned(), source: finished.unexpected() }),
    };
    let virtual_size_bytes = info.virtual_size;
    match info {
        info if info.encrypted => Err(InspectError::Encrypted { path: path_owned() }),
        info if info.backing_filename.is_some() => Err(InspectError::Backing { path: path_owned() }),
        _ if !DISK_BYTES.contains(&virtual_size_bytes)
            || !virtual_size_bytes.is_multiple_of(SECTOR_BYTES) =>
        {
            Err(InspectError::Size { path: path_owned(), virtual_size_bytes })
        }
        _ => Ok(virtual_size_bytes),
    }
}

fn refuse_damage(path: &Path, format: ImageFormat, finished: Finished) -> Result<(), InspectError> {
    match finished.status.code() {
        Some(NOT_CHECKED) => Ok(()),
        Some(0 | 2 | 3) => {
            let check: Check = read_json(path, finished)?;
            match check.corruptions.saturating_add(check.check_errors) {
                0 => Ok(()),
                errors => Err(InspectError::Corrupt {
                    path: path.to_owned(),
                    found: format!("qemu-img check counts {errors} errors"),
                }),
            }
        }
        Some(_) if !finished.stderr.is_empty() => Err(corrupt(path, format, &finished.stderr)),
        _ => Err(InspectError::Other { path: path.to_owned(), source: finished.unexpected() }),
    }
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path, finished: Finished) -> Result<T, InspectError> {
    serde_json::from_slice(&finished.stdout).map_err(|source| InspectError::Other {
        path: path.to_owned(),
        source: QemuFailure::Answer { command: finished.command, source },
    })
}
