//! Looking at storage for overlays: those on record, and those that lie there without one.
//!
//! Promises: storage that hangs holds nobody up for longer than [`DEADLINE`], and what it did not tell
//! counts as there. Nothing is changed here.

use super::file_state::{self, FileState};
use super::lease::{Lease, Records};
use super::lease_plan::{Observation, Scan};
use super::qemu_lock;
use super::scan_directory::{self, DirectoryScan};
use crate::layout::Layout;
use crate::volume::storage::Storage;
use bootstash_base::mount_table::MountTable;
use bootstash_base::quoted_path::shown;
use bootstash_qemu::InUse;
use chrono::{DateTime, Utc};
use futures::future::join_all;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long all storage together may take to tell what it has.
const DEADLINE: Duration = Duration::from_secs(5);

/// Looks at the overlays of `records`, and through their directories and the configured ones.
pub(super) async fn scan(storage: &Storage, layout: &Layout, records: &Records) -> Scan {
    let until = Instant::now() + DEADLINE;
    let layout = Arc::new(layout.clone());
    let mounts = MountTable::read();
    let groups = by_mount(records.values(), &mounts);
    let observations =
        groups.into_iter().map(|(at, leases)| observe_on_mount(storage, at, leases, &layout, until));
    let (directories, unexpanded) = directories(storage, records, &layout, &mounts, until).await;
    let looks =
        directories.iter().map(|directory| {
            let (at, directory, layout) =
                (mounts.mount_point_of(directory), directory.clone(), Arc::clone(&layout));
            async move {
                storage.ask(&at, until, move || scan_directory::scan_directory(&directory, &layout)).await
            }
        });
    // Side by side: what hangs on one takes no time from the other.
    let (observations, looks) = tokio::join!(join_all(observations), join_all(looks));
    let mut scan = Scan {
        observations: observations.into_iter().flatten().collect(),
        found: Vec::new(),
        complete: unexpanded.is_empty(),
    };
    unexpanded.iter().for_each(|(pattern, error)| warn_unread("look for overlays in", pattern, error));
    for (directory, looked) in directories.iter().zip(looks) {
        let looked = looked.unwrap_or_else(|| Err(io::Error::other("its storage does not answer")));
        scan.take_in(directory, looked, records);
    }
    scan
}

impl Scan {
    fn take_in(&mut self, directory: &Path, looked: io::Result<DirectoryScan>, records: &Records) {
        match looked {
            Ok(found) => {
                for (path, error) in found.unreadable.iter().filter(|(path, _)| !records.contains_key(path)) {
                    self.complete = false;
                    warn_unread("read", path, error);
                }
                self.found.extend(found.leases);
            }
            Err(error) => {
                self.complete = false;
                warn_unread("look for overlays in", directory, &error);
            }
        }
    }
}

fn warn_unread(what: &str, path: &Path, error: &io::Error) {
    tracing::warn!("cannot {what} {}: {error}; views without a record stay", shown(path));
}

/// The overlays on each storage, by its mount point: what hangs is asked for one after the other, so that
/// one thread hangs with it.
pub(super) fn by_mount<'a>(
    leases: impl Iterator<Item = &'a Arc<Lease>>,
    mounts: &MountTable,
) -> BTreeMap<PathBuf, Vec<Arc<Lease>>> {
    let mut groups: BTreeMap<PathBuf, Vec<Arc<Lease>>> = BTreeMap::new();
    for lease in leases {
        groups.entry(mounts.mount_point_of(&lease.overlay.path)).or_default().push(Arc::clone(lease));
    }
    groups
}

async fn observe_on_mount(
    storage: &Storage,
    at: PathBuf,
    leases: Vec<Arc<Lease>>,
    layout: &Arc<Layout>,
    until: Instant,
) -> Vec<(PathBuf, Observation)> {
    let mut observations = Vec::new();
    for lease in leases {
        let (path, layout) = (lease.overlay.path.clone(), Arc::clone(layout));
        let observation = storage.ask(&at, until, move || observation(&lease, &layout)).await;
        observations.extend(observation.map(|observation| (path, observation)));
    }
    observations
}

fn observation(lease: &Lease, layout: &Layout) -> Observation {
    let path = &lease.overlay.path;
    let file = FileState::of(path, lease.mount_point.as_deref());
    let there = file == FileState::Present;
    let directory = path.parent().filter(|_| there && lease.mount_point.is_none());
    Observation {
        file,
        mount_point: directory.and_then(|directory| file_state::mount_point(directory).ok()),
        foreign_since: if there { foreign_since(path, layout) } else { None },
    }
}

/// Since when the file is no overlay of this node any more, if it is none. What somebody has open may be
/// about to become one again.
fn foreign_since(path: &Path, layout: &Layout) -> Option<DateTime<Utc>> {
    let foreign = scan_directory::is_foreign(path, layout)
        && qemu_lock::in_use(path).is_ok_and(|in_use| in_use == InUse::No);
    foreign.then(|| path.metadata()?.modified()).and_then(io::Result::ok).map(DateTime::from)
}

/// The directories to look through, and the patterns of which it is not known what they stand for.
pub(super) async fn directories(
    storage: &Storage,
    records: &Records,
    layout: &Layout,
    mounts: &MountTable,
    until: Instant,
) -> (BTreeSet<PathBuf>, Vec<(PathBuf, io::Error)>) {
    let known = records.keys().filter_map(|path| path.parent());
    let mut directories: BTreeSet<_> = known.map(Path::to_owned).collect();
    let mut unexpanded = Vec::new();
    let expanding = layout.overlay_dirs.iter().cloned().map(|pattern| async move {
        let (at, given) = (mounts.mount_point_of(&pattern.fixed_part()), pattern.as_path().to_owned());
        let found = storage.ask(&at, until, move || pattern.expand()).await;
        (given, found.unwrap_or_else(|| Err(io::Error::other("its storage does not answer"))))
    });
    for (pattern, found) in join_all(expanding).await {
        match found {
            Ok(found) => directories.extend(found),
            Err(error) => unexpanded.push((pattern, error)),
        }
    }
    (directories, unexpanded)
}
