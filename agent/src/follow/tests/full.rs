//! Receiving the whole volume: as a stream, or as a file where the registrar does not stream.

use super::{fetched_files, serving_registrar, snapshots};
use crate::testing::Node;
use bootstash_base::testing::fail_on_warnings;
use bootstash_net::api::AgentState;

#[tokio::test]
async fn empty_node_takes_a_full_stream_once_it_is_made() {
    let _watch = fail_on_warnings();
    let mut node = Node::new();
    let registrar = serving_registrar(&node).await;
    registrar.publish(&["alpine"]).await;
    let newest = registrar.publish(&["debian12"]).await;
    registrar.offer_full(2).await;
    node.start(registrar.address()).await;
    node.in_step_at(&newest.name).await;
    assert_eq!(snapshots(&node).await, [newest.guid]);
    let images = node.volume().state().images;
    assert_eq!(images.iter().map(|image| image.name.as_str()).collect::<Vec<_>>(), ["alpine", "debian12"]);
    assert_eq!(fetched_files(&node), 0);
    assert!(node.views().await.is_empty(), "the view for reading the catalog goes again");
    node.stop().await;
}

#[tokio::test]
async fn a_stream_that_is_cut_goes_on_where_it_was() {
    let mut watch = fail_on_warnings();
    watch.expect("broke off");
    let mut node = Node::new();
    let registrar = serving_registrar(&node).await;
    let newest = registrar.publish(&["alpine", "debian12"]).await;
    registrar.stream(&[400_000, 150_000]);
    node.start(registrar.address()).await;
    node.in_step_at(&newest.name).await;
    assert_eq!(registrar.asked_for_rest(), [false, true, true]);
    assert_eq!(snapshots(&node).await, [newest.guid]);
    assert_eq!(node.volume().state().images.len(), 2);
    assert_eq!(node.volume().state().partial, None);
    node.stop().await;
}

#[tokio::test]
async fn a_restarted_node_goes_on_with_its_stream() {
    let mut watch = fail_on_warnings();
    watch.expect("broke off");
    let mut node = Node::new();
    let mut registrar = serving_registrar(&node).await;
    let newest = registrar.publish(&["alpine", "debian12"]).await;
    registrar.stream(&[400_000]);
    node.start(registrar.address()).await;
    node.state(|state| matches!(state, AgentState::Waiting { .. })).await;
    registrar.stop_serving().await;
    node.stop().await;
    registrar.start_serving().await;
    node.start(registrar.address()).await;
    node.in_step_at(&newest.name).await;
    assert!(registrar.asked_for_rest()[1..].iter().all(|rest| *rest));
    node.stop().await;
}

#[tokio::test]
async fn a_stream_of_a_snapshot_that_is_gone_starts_anew() {
    let mut watch = fail_on_warnings();
    watch.expect("broke off");
    let mut node = Node::new();
    let mut registrar = serving_registrar(&node).await;
    registrar.publish(&["alpine", "debian12"]).await;
    registrar.stream(&[400_000]);
    node.start(registrar.address()).await;
    node.state(|state| matches!(state, AgentState::Waiting { .. })).await;
    registrar.stop_serving().await;
    node.stop().await;
    let newest = registrar.publish(&["debian12-nginx"]).await;
    registrar.forget_old().await;
    registrar.start_serving().await;
    node.start(registrar.address()).await;
    node.in_step_at(&newest.name).await;
    assert_eq!(registrar.asked_for_rest()[1..], [true, false]);
    assert_eq!(snapshots(&node).await, [newest.guid]);
    node.stop().await;
}

#[tokio::test]
async fn a_registrar_that_streams_no_more_is_asked_for_the_file() {
    let mut watch = fail_on_warnings();
    watch.expect("broke off");
    let mut node = Node::new();
    let mut registrar = serving_registrar(&node).await;
    let newest = registrar.publish(&["alpine", "debian12"]).await;
    registrar.stream(&[400_000]);
    node.start(registrar.address()).await;
    node.state(|state| matches!(state, AgentState::Waiting { .. })).await;
    registrar.stop_serving().await;
    node.stop().await;
    registrar.stream_no_more();
    registrar.offer_full(0).await;
    registrar.start_serving().await;
    node.start(registrar.address()).await;
    node.in_step_at(&newest.name).await;
    node.stop().await;
}
