//! Overlays while a receive goes on: they wait for none.

use super::{alpine, filled, leases};
use crate::testing::{soon, write_overlay};
use bootstash_base::impersonate::UnixPeer;
use bootstash_base::testing::fail_on_warnings;
use bootstash_zfs::Removed;
use bootstash_zfs::fake::Verb;

#[tokio::test]
async fn overlays_are_made_and_removed_while_a_delta_is_received() {
    let _watch = fail_on_warnings();
    let (mut node, registrar, first) = filled().await;
    let mut receiving = node.zfs.hang_next(Verb::Receive);
    let second = registrar.publish(&["debian12-nginx"]).await;
    soon(receiving.reached()).await;
    let made = soon(node.volume().create_overlay(alpine(), node.vm("a.qcow2"))).await.unwrap();
    assert_eq!(made.snapshot, first.name);
    assert!(made.cache.is_file(), "its view was made beside the receive");
    let disk = node.vm("disk.qcow2");
    write_overlay(&disk, &registrar.base_of("alpine"), 70_144).unwrap();
    let pinned = soon(node.volume().pin(UnixPeer::ourselves(), disk.clone())).await.unwrap();
    assert_eq!(pinned.overlay.snapshot, first.name);
    soon(node.volume().adopt_overlay(made.path.clone())).await.unwrap();
    assert_eq!(soon(node.volume().unpin(UnixPeer::ourselves(), disk)).await.unwrap(), Removed::Removed);
    assert_eq!(soon(node.volume().remove_overlay(made.path.clone())).await.unwrap(), Removed::Removed);
    assert_eq!((leases(&node), node.views().await.len()), (0, 0), "the view went beside it, too");
    assert_eq!(node.volume().state().snapshots.len(), 1, "it is still on its way");
    receiving.release();
    node.in_step_at(&second.name).await;
    let next = node.volume().create_overlay(alpine(), node.vm("b.qcow2")).await.unwrap();
    assert_eq!(next.snapshot, second.name);
    assert_eq!(node.volume().state().snapshots.len(), 2, "each is known once");
    node.stop().await;
}

#[tokio::test]
async fn what_was_there_serves_overlays_while_a_whole_volume_takes_its_place() {
    let mut watch = fail_on_warnings();
    watch.expect("beside the one that is here");
    let (mut node, registrar, first) = filled().await;
    let old = node.volume().create_overlay(alpine(), node.vm("a.qcow2")).await.unwrap();
    node.stop().await;
    let mut receiving = node.zfs.hang_next(Verb::Receive);
    let second = registrar.publish(&["debian12-nginx"]).await;
    registrar.forget_old().await;
    registrar.change_log(|log| log.collected.push(first.guid));
    registrar.offer_full(0).await;
    node.start(registrar.address()).await;
    soon(receiving.reached()).await;
    let made = soon(node.volume().create_overlay(alpine(), node.vm("b.qcow2"))).await.unwrap();
    assert_eq!(made.snapshot, first.name);
    for overlay in [old, made] {
        soon(node.volume().remove_overlay(overlay.path)).await.unwrap();
    }
    receiving.release();
    node.in_step_at(&second.name).await;
    assert!(node.volume().state().replaced.is_empty(), "nothing stands on it any more");
    node.stop().await;
}
