//! Receiving the volume anew beside the one that is here.

use super::{followed, snapshots};
use crate::testing::Node;
use bootstash_base::testing::fail_on_warnings;
use bootstash_daemon::telemetry::TextFormat;
use bootstash_zfs::Zfs;

/// The generations of a node's volume that are there.
async fn volumes(node: &Node) -> Vec<String> {
    let children = node.zfs.children(&node.layout().root).await.unwrap();
    let volumes = children.iter().map(|name| name.leaf().to_owned());
    volumes.filter(|name| name.starts_with("volume")).collect()
}

#[tokio::test]
async fn a_node_that_was_away_for_long_begins_anew_beside_what_its_overlays_stand_on() {
    let mut watch = fail_on_warnings();
    watch.expect("beside the one that is here");
    let (mut node, registrar, first) = followed().await;
    let overlay = node.volume().create_overlay("alpine".parse().unwrap(), node.vm("a.qcow2")).await.unwrap();
    node.stop().await;
    let newest = registrar.publish(&["debian12"]).await;
    registrar.forget_old().await;
    registrar.change_log(|log| log.collected.push(first.guid));
    registrar.offer_full(1).await;
    node.start(registrar.address()).await;
    node.in_step_at(&newest.name).await;
    assert_eq!(volumes(&node).await, ["volume", "volume-2"]);
    assert!(overlay.cache.is_file(), "the overlay lost its cache");
    let replaced = node.volume().state().replaced;
    assert_eq!((replaced.len(), replaced[0].unknown.clone()), (1, None));
    // A restart changes nothing of it; the overlay's end does.
    node.stop().await;
    node.start(registrar.address()).await;
    node.in_step_at(&newest.name).await;
    assert!(overlay.cache.is_file());
    let third = registrar.publish(&["debian12-nginx"]).await;
    node.in_step_at(&third.name).await;
    node.volume().remove_overlay(node.vm("a.qcow2")).await.unwrap();
    assert_eq!(volumes(&node).await, ["volume-2"]);
    assert!(node.views().await.is_empty() && node.volume().state().replaced.is_empty());
    node.stop().await;
}

#[tokio::test]
async fn what_the_registrar_does_not_know_is_kept() {
    let mut watch = fail_on_warnings();
    watch.expect("beside the one that is here");
    let (mut node, registrar, first) = followed().await;
    node.stop().await;
    let newest = registrar.publish(&["debian12"]).await;
    registrar.forget_old().await;
    registrar.offer_full(0).await;
    node.start(registrar.address()).await;
    node.in_step_at(&newest.name).await;
    assert_eq!(volumes(&node).await, ["volume", "volume-2"]);
    assert_eq!(snapshots(&node).await, [first.guid], "the old volume was touched");
    let replaced = node.volume().state().replaced;
    assert!(replaced[0].unknown.as_ref().unwrap().contains("knows none"), "{replaced:?}");
    let text = node.metrics.scrape(&node.volume().state(), None, TextFormat::OpenMetrics).unwrap();
    assert!(text.contains("bootstash_agent_resyncs_total 1\n"), "{text}");
    assert!(text.contains("bootstash_agent_replaced_volumes 1\n"), "{text}");
    node.volume().collect(std::time::Duration::ZERO, false).await.unwrap();
    assert_eq!(volumes(&node).await, ["volume", "volume-2"]);
    node.stop().await;
    // Once a person has dropped it, nothing of it is left.
    node.zfs.destroy(&node.layout().volume).await.unwrap();
    node.start(registrar.address()).await;
    node.in_step_at(&newest.name).await;
    assert_eq!(std::fs::read_dir(node.layout().unknown_dir).unwrap().count(), 0);
    node.stop().await;
}
