//! A node that follows a stub registrar, on ZFS in memory.

mod changed;
mod deltas;
mod full;
mod left_over;
mod peers;
mod resync;
mod stopped;

use crate::testing::{Node, StubRegistrar};
use bootstash_base::names::Guid;
use bootstash_zfs::{Snapshot, Zfs};

async fn serving_registrar(node: &Node) -> StubRegistrar {
    let mut registrar = StubRegistrar::new(node.dir.path()).await;
    registrar.start_serving().await;
    registrar
}

/// A node in step at the first snapshot.
async fn followed() -> (Node, StubRegistrar, Snapshot) {
    let mut node = Node::new();
    let registrar = serving_registrar(&node).await;
    let first = registrar.publish(&["alpine"]).await;
    registrar.offer_full(0).await;
    node.start(registrar.address()).await;
    node.in_step_at(&first.name).await;
    (node, registrar, first)
}

async fn snapshots(node: &Node) -> Vec<Guid> {
    let snapshots = node.zfs.snapshots(&node.layout().volume).await.unwrap();
    snapshots.iter().map(|snapshot| snapshot.guid).collect()
}

fn fetched_files(node: &Node) -> usize {
    std::fs::read_dir(node.layout().fetch_dir).unwrap().count()
}
