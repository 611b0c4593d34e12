//! Downloads that the registrar redirects to peers, or puts off.

use super::followed;
use crate::testing::{Node, StubPeer, StubRegistrar};
use bootstash_base::testing::fail_on_warnings;
use bootstash_zfs::Snapshot;

/// A node that is a delta behind, its registrar, which is not asked yet, and the delta's bytes.
async fn behind() -> (Node, StubRegistrar, Snapshot, Vec<u8>) {
    let (mut node, registrar, _) = followed().await;
    node.stop().await;
    let second = registrar.publish(&["debian12"]).await;
    let bytes = std::fs::read(registrar.newest_delta().1).unwrap();
    (node, registrar, second, bytes)
}

#[tokio::test]
async fn a_delta_comes_from_a_peer_where_the_registrar_says_so() {
    let _watch = fail_on_warnings();
    let (mut node, registrar, second, bytes) = behind().await;
    let (record, length) = (registrar.newest_delta().0, bytes.len() as u64);
    let peer = StubPeer::sends(bytes).await;
    registrar.send_to_peer(peer.url());
    let before = registrar.offsets().len();
    node.start(registrar.address()).await;
    node.in_step_at(&second.name).await;
    assert_eq!(peer.asked(), [format!("/v1/deltas/{}", record.digest)]);
    assert_eq!(peer.offsets(), [0]);
    assert_eq!(registrar.offsets().len(), before, "the registrar sent it, too");
    assert_eq!(node.metrics.from_peers_bytes(), length);
    node.stop().await;
}

#[tokio::test]
async fn what_a_peer_cannot_send_comes_from_the_registrar_and_what_came_counts() {
    let _watch = fail_on_warnings();
    let (mut node, registrar, second, bytes) = behind().await;
    let peer = StubPeer::sends(bytes[..100_000].to_vec()).await;
    registrar.send_to_peer(peer.url());
    node.start(registrar.address()).await;
    node.in_step_at(&second.name).await;
    assert_eq!(registrar.offsets().last(), Some(&100_000));
    // It is left alone: another delta is not asked of it.
    let third = registrar.publish(&["alpine-2"]).await;
    node.in_step_at(&third.name).await;
    assert_eq!(peer.offsets(), [0]);
    node.stop().await;
}

#[tokio::test]
async fn a_peer_that_sends_wrong_content_costs_a_download_and_is_quarantined() {
    let mut watch = fail_on_warnings();
    watch.expect("leaving peer");
    let (mut node, registrar, second, mut bytes) = behind().await;
    *bytes.last_mut().unwrap() ^= 1;
    let peer = StubPeer::sends(bytes).await;
    registrar.send_to_peer(peer.url());
    node.start(registrar.address()).await;
    node.in_step_at(&second.name).await;
    assert_eq!(registrar.offsets().last(), Some(&0));
    let third = registrar.publish(&["alpine-2"]).await;
    node.in_step_at(&third.name).await;
    assert_eq!(peer.offsets(), [0]);
    node.stop().await;
}

#[tokio::test]
async fn a_peer_that_is_not_there_and_one_that_is_none_cost_nothing_but_a_try() {
    let _watch = fail_on_warnings();
    let (mut node, registrar, second, _) = behind().await;
    registrar.send_to_peer("http://127.0.0.1:1");
    node.start(registrar.address()).await;
    node.in_step_at(&second.name).await;
    registrar.send_to_peer("file:///etc/passwd?");
    let third = registrar.publish(&["alpine-2"]).await;
    node.in_step_at(&third.name).await;
    assert_eq!(node.metrics.from_peers_bytes(), 0);
    node.stop().await;
}

#[tokio::test]
async fn a_busy_registrar_is_no_reason_to_warn() {
    let _watch = fail_on_warnings();
    let (mut node, registrar, second, _) = behind().await;
    registrar.be_busy(3);
    node.start(registrar.address()).await;
    node.in_step_at(&second.name).await;
    node.stop().await;
}
