//! Looking, each minute, for overlays that have no record: another node made them in a directory that both see,
//! or something copied them there. The kernel tells of no changes that another host makes.
//!
//! Promises: what is found gets its record and its view as by `bootstash adopt`; a file is read once, however often
//! its directory is looked through; storage that hangs holds up nothing but the look at it. Nothing is let go here.

use super::adopt::AdoptOverlayError;
use super::lease::{Lease, Records};
use super::scan;
use super::scan_directory::{DirectoryScan, Examined, scan_unexamined};
use crate::layout::Layout;
use crate::volume::VolumeHandle;
use bootstash_base::error::Chain;
use bootstash_base::mount_table::MountTable;
use bootstash_base::quoted_path::shown;
use futures::future::join_all;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How long all storage together may take to show what it has.
const DEADLINE: Duration = Duration::from_secs(20);

/// Finds overlays that have no record.
#[derive(Debug)]
pub struct OverlayWatch {
    volume: VolumeHandle,
    layout: Arc<Layout>,
    /// By directory.
    examined: BTreeMap<PathBuf, Examined>,
}

impl OverlayWatch {
    /// One that has not looked yet.
    pub fn new(volume: VolumeHandle, layout: Layout) -> Self {
        Self { volume, layout: Arc::new(layout), examined: BTreeMap::new() }
    }

    /// Looks each minute. Dropped, it ends.
    pub async fn run(mut self) {
        let mut ticks = interval_at(Instant::now() + LOOK_EVERY, LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.look().await;
        }
    }

    /// Looks once.
    pub(in crate::volume) async fn look(&mut self) {
        let leases: Records =
            self.volume.state().leases.into_iter().map(|lease| (lease.overlay.path.clone(), lease)).collect();
        for found in self.unexamined(&leases).await {
            let recorded = leases.get(&found.overlay.path);
            if recorded.is_none_or(|lease| lease.overlay.cache != found.overlay.cache) {
                self.adopt(found).await;
            }
        }
    }

    /// The overlays in files that were not there at the last look.
    async fn unexamined(&mut self, leases: &Records) -> Vec<Lease> {
        let (until, mounts) = (Instant::now() + DEADLINE, MountTable::read());
        let storage = self.volume.storage.clone();
        let (directories, _) = scan::directories(&storage, leases, &self.layout, &mounts, until).await;
        let mut before = std::mem::take(&mut self.examined);
        let looks = directories.into_iter().map(|directory| {
            let (at, layout) = (mounts.mount_point_of(&directory), Arc::clone(&self.layout));
            let mut examined = before.remove(&directory).unwrap_or_default();
            let look = move || {
                let scan = scan_unexamined(&directory, &layout, &mut examined);
                scan.map(|scan| (directory, scan, examined))
            };
            let storage = &storage;
            async move { storage.ask(&at, until, look).await }
        });
        let mut leases = Vec::new();
        // What did not answer is looked through from the start the next time.
        for (directory, DirectoryScan { leases: found, .. }, examined) in
            join_all(looks).await.into_iter().flatten().flatten()
        {
            self.examined.insert(directory, examined);
            leases.extend(found);
        }
        leases
    }

    async fn adopt(&mut self, found: Lease) {
        let path = found.overlay.path;
        match self.volume.adopt_overlay(path.clone()).await {
            Ok(_) => (),
            // It went meanwhile, or became something else.
            Err(AdoptOverlayError::NoFile { .. } | AdoptOverlayError::Foreign { .. }) => (),
            Err(AdoptOverlayError::Stopping(_)) => (),
            Err(error @ AdoptOverlayError::Gone { .. }) => tracing::error!("{}", Chain(&error)),
            Err(error) => {
                tracing::warn!("cannot adopt overlay {}; trying again: {}", shown(&path), Chain(&error));
                self.examine_again(&path);
            }
        }
    }

    /// Reads a file again at the next look, whatever links its directory is known by.
    fn examine_again(&mut self, path: &Path) {
        if let Some(name) = path.file_name() {
            self.examined.values_mut().for_each(|examined| examined.forget(name));
        }
    }
}
