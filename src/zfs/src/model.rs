//! What the trait's calls take and give.

use bootstash_base::names::{DatasetName, Guid, SnapshotName};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// The user property that marks a file system as ours; its value is a [`Role`]. Only a value set
/// on the file system itself counts, as children inherit user properties.
pub const ROLE_PROPERTY: &str = "org.bootstash:role";

/// What [`ROLE_PROPERTY`] says of a snapshot that we took; one that was received has it not.
pub const SNAPSHOT_ROLE: &str = "snapshot";

/// What a file system of ours is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The parent of all others, which hands its properties down.
    Root,
    /// The volume: all boot caches.
    Volume,
    /// The parent of the views.
    Views,
    /// A read-only clone of a snapshot, which overlays chain onto.
    View,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Root => "root",
            Self::Volume => "volume",
            Self::Views => "views",
            Self::View => "view",
        })
    }
}

impl std::str::FromStr for Role {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Root, Self::Volume, Self::Views, Self::View]
            .into_iter()
            .find(|role| role.to_string() == text)
            .ok_or(())
    }
}

/// The implementation of ZFS that answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flavor {
    /// OpenZFS in the kernel.
    OpenZfs,
    /// zfs-fuse 0.7 (pool version 23).
    ZfsFuse,
    /// The in-memory fake.
    Fake,
}

/// What was found when ZFS was opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Which ZFS it is.
    pub flavor: Flavor,
    /// `zstd` is a value of `compression`.
    pub zstd: bool,
    /// `zfs receive -s` and `zfs send -t` exist.
    pub resumable_receive: bool,
    /// `zfs list -p` prints exact numbers.
    pub parsable_list: bool,
    /// The size of the deduplication table, its quota and its prefetch exist (OpenZFS 2.3).
    pub dedup_table: bool,
    /// Bookmarks exist.
    pub bookmarks: bool,
    /// Snapshots are taken, destroyed and sent by libzfs_core, without a program.
    pub libzfs_core: bool,
}

/// A property we set on a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Property {
    /// `dedup=on`
    Dedup,
    /// The best compression this ZFS has: `zstd`, else `gzip-6`.
    Compression,
    /// `recordsize=64K`
    RecordSize64K,
    /// `atime=off`
    NoAtime,
    /// `readonly=on`
    ReadOnly,
}

/// A file system to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDataset {
    /// Its role.
    pub role: Role,
    /// Where to mount it; `None` sets `mountpoint=none`.
    pub mountpoint: Option<PathBuf>,
    /// Properties to set on it.
    pub properties: Vec<Property>,
}

/// A file system's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// Its name.
    pub name: DatasetName,
    /// Its GUID.
    pub guid: Guid,
    /// Our role, where it was set on the file system itself.
    pub role: Option<Role>,
    /// Whose it is, where that was set on the file system itself.
    pub owner: Option<String>,
    /// Where it mounts; none for `none` and `legacy`.
    pub mountpoint: Option<PathBuf>,
    /// Whether it is mounted now.
    pub mounted: bool,
}

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its name.
    pub name: SnapshotName,
    /// Its GUID, the same wherever it was received.
    pub guid: Guid,
    /// When this host's ZFS came by it: taken or received.
    pub created: DateTime<Utc>,
}

/// What a verb that makes something did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// It was there.
    Unchanged,
    /// It is new.
    Created,
}

/// What a verb that removes something did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Removed {
    /// There was nothing of the name.
    Unchanged,
    /// It is gone.
    Removed,
}

/// What a receive did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The newest snapshot before; `None` for a file system made by the receive.
    pub from: Option<Guid>,
    /// The newest snapshot now.
    pub to: Snapshot,
}

/// Space, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// What the files hold, before compression and deduplication.
    pub logical_bytes: u64,
    /// What the pool has allocated for everything in it.
    pub used_bytes: u64,
    /// What the pool has left.
    pub available_bytes: u64,
    /// Bytes referenced over bytes stored, of the pool.
    pub dedup_ratio: f64,
    /// Bytes before over bytes after compression, of the file system.
    pub compress_ratio: f64,
    /// The pool's deduplication table, where this ZFS tells of it.
    pub dedup_table: Option<DedupTable>,
}

/// A pool's deduplication table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DedupTable {
    /// Its size on disk, in bytes.
    pub bytes: u64,
    /// The size from which new blocks are no longer deduplicated, in bytes; none where there is no quota.
    pub quota_bytes: Option<u64>,
}
