//! Opens ZFS: finds the programs and asks once what this ZFS can do.

use super::receive::Locks;
use super::run::{Answer, Program};
use super::stderr::{self, ZfsMessage};
use super::{CommandZfs, Limits};
use crate::call_monitor::Calls;
use crate::{Capabilities, Flavor, ZfsFailure};
use bootstash_base::error::Classified;
use std::path::{Path, PathBuf};
use thiserror::Error;

const FOLDERS: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];

/// Where the programs are; absolute paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    /// `zfs`
    pub zfs: PathBuf,
    /// `zpool`
    pub zpool: PathBuf,
}

/// ZFS could not be opened.
#[derive(Debug, Error, Classified)]
#[class(operator)]
pub enum OpenError {
    /// The program is in none of the usual places.
    #[error("{name} is in none of /usr/sbin, /sbin, /usr/local/sbin; install zfsutils-linux or zfs-fuse")]
    NotInstalled {
        /// Its name.
        name: &'static str,
    },
    /// The path given is no program.
    #[error("{path} is no absolute path of a program; correct it or install ZFS there")]
    NoProgram {
        /// The path, as it was given.
        path: PathBuf,
    },
    /// The pool is not there.
    #[error("there is no ZFS pool {pool}; create it (zpool create) or import it (zpool import)")]
    NoPool {
        /// The pool.
        pool: String,
    },
    /// The pool's file systems are all mounted below another directory than their properties say.
    #[error(
        "the ZFS pool {pool} was imported with altroot={altroot}, so that its file systems are mounted below that and \
         not where bootstash needs them; import it without: zpool export {pool} && zpool import {pool}"
    )]
    Altroot {
        /// The pool.
        pool: String,
        /// The directory.
        altroot: String,
    },
    /// libzfs_core was asked for, and that talks to the kernel alone.
    #[error("libzfs_core needs OpenZFS in the kernel, with its device /dev/zfs; load it (modprobe zfs)")]
    NoKernel,
    /// libzfs_core was asked for and does not start.
    #[error("cannot initialise libzfs_core; install the libraries of the kernel module's version")]
    #[class(source)]
    Library {
        /// How the call to ZFS failed.
        source: ZfsFailure,
    },
    /// Its properties cannot be read.
    #[error("cannot open the ZFS pool {pool}")]
    #[class(source)]
    Other {
        /// The pool.
        pool: String,
        /// How the call to ZFS failed.
        source: ZfsFailure,
    },
}

impl Programs {
    /// Looks in the usual places.
    ///
    /// # Errors
    /// When one is in none of them.
    pub fn find() -> Result<Self, OpenError> {
        Ok(Self { zfs: find("zfs")?, zpool: find("zpool")? })
    }

    /// Those that the environment names (`BOOTSTASH_ZFS`, `BOOTSTASH_ZPOOL`), for a ZFS in an unusual
    /// place; else looks in the usual places.
    ///
    /// # Errors
    /// When one is not named, and in none of them.
    pub fn given_or_found() -> Result<Self, OpenError> {
        let given =
            |variable, name| std::env::var_os(variable).map_or_else(|| find(name), |path| Ok(path.into()));
        Ok(Self { zfs: given("BOOTSTASH_ZFS", "zfs")?, zpool: given("BOOTSTASH_ZPOOL", "zpool")? })
    }
}

fn find(name: &'static str) -> Result<PathBuf, OpenError> {
    FOLDERS
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.is_file())
        .ok_or(OpenError::NotInstalled { name })
}

impl CommandZfs {
    /// Opens ZFS for work in `pool`, with the usual limits.
    ///
    /// # Errors
    /// When a program or the pool is not there, or ZFS does not answer.
    pub async fn open(programs: &Programs, pool: &str) -> Result<Self, OpenError> {
        Self::open_with(programs, pool, Limits::default()).await
    }

    /// Opens ZFS for work in `pool`.
    ///
    /// # Errors
    /// When a program or the pool is not there, or ZFS does not answer.
    pub async fn open_with(programs: &Programs, pool: &str, limits: Limits) -> Result<Self, OpenError> {
        for path in [&programs.zfs, &programs.zpool] {
            if !path.is_absolute() || !path.is_file() {
                return Err(OpenError::NoProgram { path: path.clone() });
            }
        }
        let calls = Calls::default();
        let (zfs, zpool) = (Program::new(&programs.zfs, &calls), Program::new(&programs.zpool, &calls));
        let other = |source| OpenError::Other { pool: pool.to_owned(), source };
        let listed = zpool.call(&["list", "-H", "-o", "altroot", pool], limits.call).await.map_err(other)?;
        if !listed.ok {
            return Err(match stderr::read(&listed.stderr) {
                Some(ZfsMessage::NoPool | ZfsMessage::Missing) => OpenError::NoPool { pool: pool.to_owned() },
                _ => other(failure(listed)),
            });
        }
        if let Some(altroot) = altroot(&listed.stdout) {
            return Err(OpenError::Altroot { pool: pool.to_owned(), altroot: altroot.to_owned() });
        }
        let capabilities = probe(&zfs, &zpool, pool, limits).await.map_err(other)?;
        Ok(Self { zfs, zpool, limits, capabilities, calls, receiving: Locks::default() })
    }
}

/// The directory that all of a pool's mount points are below, where that is not all there is.
fn altroot(listed: &str) -> Option<&str> {
    Some(listed.trim()).filter(|altroot| !["-", "", "/"].contains(altroot))
}

/// `zfs version` came with OpenZFS 0.8; zfs-fuse does not know it, nor any of what else we look for.
async fn probe(
    zfs: &Program,
    zpool: &Program,
    pool: &str,
    limits: Limits,
) -> Result<Capabilities, ZfsFailure> {
    if !zfs.call(&["version"], limits.call).await?.ok {
        return Ok(Capabilities {
            flavor: Flavor::ZfsFuse,
            zstd: false,
            resumable_receive: false,
            parsable_list: false,
            dedup_table: false,
            bookmarks: false,
            libzfs_core: false,
        });
    }
    // The module may know something and an old pool not have it.
    let has = async |feature: &str| {
        let name = format!("feature@{feature}");
        let answer = zpool.call(&["get", "-H", "-o", "value", &name, pool], limits.call).await?;
        Ok::<_, ZfsFailure>(answer.ok && matches!(answer.stdout.trim(), "enabled" | "active"))
    };
    let table = zpool.call(&["get", "-H", "-o", "value", "dedup_table_size", pool], limits.call).await?;
    Ok(Capabilities {
        flavor: Flavor::OpenZfs,
        zstd: has("zstd_compress").await?,
        resumable_receive: has("extensible_dataset").await?,
        parsable_list: true,
        dedup_table: table.ok,
        bookmarks: has("bookmarks").await?,
        libzfs_core: false,
    })
}

/// What a failed call becomes where no type foresees it.
pub(super) fn failure(answer: Answer) -> ZfsFailure {
    let Answer { command, stderr, signal, .. } = answer;
    if let Some(signal) = signal {
        return ZfsFailure::Killed { command, signal };
    }
    match stderr::read(&stderr) {
        Some(ZfsMessage::Unavailable) => ZfsFailure::Unavailable { command, stderr },
        _ => ZfsFailure::Unexpected { command, stderr },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_root_than_that_of_the_host_counts() {
        assert_eq!((altroot("-\n"), altroot("/\n"), altroot("")), (None, None, None));
        assert_eq!(altroot("/mnt/new\n"), Some("/mnt/new"));
    }
}
