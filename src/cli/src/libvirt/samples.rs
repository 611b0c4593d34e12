//! For tests: a disk of the image alpine, and what the agent says of it.

use super::disk_file::{Backing, Lowest};
use crate::stub;
use bootstash_net::api::{OverlayOutcome, OverlayState, OverlayStatus, OverlayView, PinReply};
use bootstash_qemu::InUse;

/// The boot cache that is held for it.
pub(super) const CACHE: &str = "/views/bs-000042-20261121T101530Z/images/alpine/cache.qcow2";

/// Chained onto the image itself.
pub(super) fn on_base() -> Backing {
    Backing::Base("/srv/a.raw".into())
}

/// Chained onto a boot cache.
pub(super) fn on_cache(path: &str) -> Backing {
    Backing::Cache { path: path.into(), snapshot: stub::snapshot(42), image: "alpine".parse().unwrap() }
}

/// The disk.
pub(super) fn lowest(backing: Backing, in_use: InUse) -> Lowest {
    Lowest { path: "/vms/a.qcow2".into(), backing, in_use, is_as_described: true }
}

/// Its record.
pub(super) fn view() -> OverlayView {
    OverlayView {
        path: "/vms/a.qcow2".into(),
        image: "alpine".parse().unwrap(),
        snapshot: stub::snapshot(42),
        cache: CACHE.into(),
        virtual_size_bytes: 1 << 30,
        created: chrono::DateTime::UNIX_EPOCH,
        firmware: None,
    }
}

/// What pinning it is answered by.
pub(super) fn reply(chained: bool) -> PinReply {
    PinReply { overlay: view(), outcome: OverlayOutcome::Created, chained }
}

/// How it is listed.
pub(super) fn pinned(pinned: bool) -> OverlayStatus {
    let state = OverlayState::Stopped;
    OverlayStatus { overlay: view(), state, missing_since: None, pinned, base: None }
}
