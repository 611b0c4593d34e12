//! What the tests share: a registrar of stubs, and a node on a ZFS in memory.

mod node;
mod peer;
mod registrar;
mod stream;

pub(crate) use node::{Node, OverlayFiles, write_overlay};
pub(crate) use peer::StubPeer;
pub(crate) use registrar::{DownloadFault, StubRegistrar};

use crate::volume::{Lease, Stage};
use bootstash_base::names::SnapshotName;
use bootstash_net::api::OverlayView;
use chrono::DateTime;
use std::path::PathBuf;
use std::time::Duration;

/// No test waits longer for anything: one that hangs must say where.
const DEADLINE: Duration = Duration::from_secs(30);

/// Waits for what must come.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, what).await.expect("it did not come in time")
}

/// The record of an overlay at `path`, of an image as it was in snapshot `number`.
pub(crate) fn lease(path: &str, number: u64, image: &str) -> Lease {
    let snapshot = SnapshotName::new(number, DateTime::UNIX_EPOCH);
    let overlay = OverlayView {
        path: path.into(),
        image: image.parse().unwrap(),
        cache: PathBuf::from(format!("/views/{snapshot}/images/{image}/cache.qcow2")),
        snapshot,
        virtual_size_bytes: 1 << 20,
        created: DateTime::UNIX_EPOCH,
        firmware: None,
    };
    Lease { stage: Stage::Made, overlay, mount_point: None, missing_since: None, pinned: false }
}
