//! Who holds what, as it is at this moment: each overlay with the state of its file.
//!
//! Promises: the answer comes in time, whatever the storage does, and does not wait for changes. Bases are as the watch
//! saw them last.

use super::file_state::FileState;
use super::lease::Lease;
use super::{qemu_lock, scan};
use crate::volume::VolumeHandle;
use crate::volume::storage::Storage;
use bootstash_base::mount_table::MountTable;
use bootstash_net::api::{OverlayState, OverlayStatus};
use bootstash_qemu::InUse;
use chrono::Utc;
use futures::future::join_all;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Who asks waits for the answer, and storage that is slower is as good as away.
const DEADLINE: Duration = Duration::from_millis(1500);

impl VolumeHandle {
    /// The overlays, in order of path, each with what its file is now.
    pub async fn overlays(&self) -> Vec<OverlayStatus> {
        let until = Instant::now() + DEADLINE;
        let state = self.state();
        let groups = scan::by_mount(state.leases.iter(), &MountTable::read()).into_iter();
        let looks = groups.map(|(at, leases)| statuses_on_mount(&self.storage, at, leases, until));
        let mut overlays: Vec<_> = join_all(looks).await.into_iter().flatten().collect();
        let bases = self.bases();
        for status in &mut overlays {
            let chained = (status.overlay.snapshot.clone(), status.overlay.image.clone());
            status.base = bases.get(&chained).cloned();
        }
        overlays.sort_by(|a, b| a.overlay.path.cmp(&b.overlay.path));
        overlays
    }
}

async fn statuses_on_mount(
    storage: &Storage,
    at: PathBuf,
    leases: Vec<Arc<Lease>>,
    until: Instant,
) -> Vec<OverlayStatus> {
    let mut overlays = Vec::new();
    for lease in leases {
        let (overlay, noted, pinned) = (lease.overlay.clone(), lease.missing_since, lease.pinned);
        let state = storage.ask(&at, until, move || state_of(&lease)).await;
        let state = state.unwrap_or(OverlayState::Unreachable);
        let missing = state == OverlayState::Missing;
        let missing_since = missing.then(|| noted.unwrap_or_else(Utc::now));
        overlays.push(OverlayStatus { overlay, state, missing_since, pinned, base: None });
    }
    overlays
}

fn state_of(lease: &Lease) -> OverlayState {
    let path = &lease.overlay.path;
    match FileState::of(path, lease.mount_point.as_deref()) {
        FileState::Missing => OverlayState::Missing,
        FileState::Unreachable => OverlayState::Unreachable,
        FileState::Present => match qemu_lock::in_use(path) {
            Ok(InUse::Yes) => OverlayState::Running,
            Ok(InUse::No) => OverlayState::Stopped,
            Ok(InUse::Unknown) => OverlayState::Unknown,
            // It went just now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => OverlayState::Missing,
            Err(_) => OverlayState::Unreachable,
        },
    }
}
