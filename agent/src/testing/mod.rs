//! What the tests share: a registrar of stubs, and a node on a ZFS in memory.

mod node;
mod peer;
mod registrar;
mod stream;

pub(crate) use node::{Node, OVERLAY_BYTES, OverlayFiles};
pub(crate) use peer::StubPeer;
pub(crate) use registrar::{DownloadFault, StubRegistrar};

use std::time::Duration;

/// No test waits longer for anything: one that hangs must say where.
const DEADLINE: Duration = Duration::from_secs(30);

/// Waits for what must come.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, what).await.expect("it did not come in time")
}
