//! Delta after delta, over downloads that break and registrars that are away.

use super::{fetched_files, followed, snapshots};
use crate::testing::{DownloadFault, Node, StubRegistrar};
use bootstash_base::testing::fail_on_warnings;
use bootstash_net::api::AgentState;
use bootstash_zfs::fake::Verb;

#[tokio::test]
async fn direct_delta_path_is_followed_event_by_event_and_reported() {
    let _watch = fail_on_warnings();
    let (mut node, registrar, first) = followed().await;
    let second = registrar.publish(&["debian12"]).await;
    node.in_step_at(&second.name).await;
    let third = registrar.publish(&["debian12-nginx"]).await;
    node.in_step_at(&third.name).await;
    assert_eq!(snapshots(&node).await, [first.guid, second.guid, third.guid]);
    let report = registrar.report(|report| report.head.as_ref().is_some_and(|h| h.guid == third.guid)).await;
    assert_eq!(report.problem, None);
    node.stop().await;
}

#[tokio::test]
async fn restarted_node_catches_up_in_order() {
    let _watch = fail_on_warnings();
    let (mut node, registrar, first) = followed().await;
    node.stop().await;
    let second = registrar.publish(&["debian12"]).await;
    let third = registrar.publish(&[]).await;
    node.start(registrar.address()).await;
    node.in_step_at(&third.name).await;
    assert_eq!(snapshots(&node).await, [first.guid, second.guid, third.guid]);
    node.stop().await;
}

#[tokio::test]
async fn a_node_that_catches_up_tells_after_each_delta_where_it_is() {
    let _watch = fail_on_warnings();
    let (mut node, registrar, _) = followed().await;
    node.stop().await;
    let mut published = Vec::new();
    for image in ["debian12", "debian12-nginx", "fedora"] {
        published.push(registrar.publish(&[image]).await.guid);
    }
    let reported = registrar.report_count();
    node.start(registrar.address()).await;
    node.state(|state| *state == AgentState::InStep).await;
    let heads = registrar.reports_since(reported).into_iter().filter_map(|report| report.head);
    let mut heads: Vec<_> = heads.map(|head| head.guid).collect();
    heads.dedup();
    assert_eq!(heads, published);
    node.stop().await;
}

#[tokio::test]
async fn images_are_those_of_the_snapshot_that_is_here_also_where_a_node_gets_no_further() {
    let mut watch = fail_on_warnings();
    watch.expect("fetching");
    watch.expect("stopped: what the registrar sent");
    let (mut node, registrar, _) = followed().await;
    node.stop().await;
    let second = registrar.publish(&["debian12"]).await;
    registrar.publish(&["fedora"]).await;
    registrar.change_log(|log| log.deltas.last_mut().unwrap().digest = "0".repeat(64));
    node.start(registrar.address()).await;
    let report = registrar.report(|report| report.problem.is_some()).await;
    assert_eq!(report.head.map(|head| head.guid), Some(second.guid));
    let damaged = registrar.complaints();
    assert!(!damaged.is_empty() && damaged.iter().all(|file| *file == damaged[0]), "{damaged:?}");
    let names = async || -> Vec<String> {
        let images = node.volume().images().await.unwrap();
        images.iter().map(|manifest| manifest.name.to_string()).collect()
    };
    assert_eq!(names().await, ["alpine", "debian12"]);
    // What is known is not read again.
    node.zfs.fail_next(Verb::Clone, "cannot create view: out of space");
    assert_eq!(names().await.len(), 2);
    node.stop().await;
}

#[tokio::test]
async fn dead_registrar_is_waited_for_and_told_of_once() {
    let mut watch = fail_on_warnings();
    watch.expect("lost the registrar");
    let mut node = Node::new();
    let mut registrar = StubRegistrar::new(node.dir.path()).await;
    let first = registrar.publish(&["alpine"]).await;
    registrar.offer_full(0).await;
    node.start(registrar.address()).await;
    node.state(|state| matches!(state, AgentState::Waiting { .. })).await;
    registrar.start_serving().await;
    node.in_step_at(&first.name).await;
    assert_eq!(watch.lines().len(), 1, "{:?}", watch.lines());
    node.stop().await;
}

#[tokio::test]
async fn broken_download_goes_on_where_it_broke() {
    let mut watch = fail_on_warnings();
    watch.expect("broke off at 5000 of");
    let (mut node, registrar, _) = followed().await;
    registrar.spoil_next_download(DownloadFault::EndAfter(5000));
    let second = registrar.publish(&["debian12"]).await;
    node.in_step_at(&second.name).await;
    assert_eq!(registrar.offsets(), [0, 0, 5000]);
    assert_eq!(fetched_files(&node), 0);
    node.stop().await;
}

#[tokio::test]
async fn damaged_download_is_fetched_a_second_time() {
    let mut watch = fail_on_warnings();
    watch.expect("fetching");
    let (mut node, registrar, _) = followed().await;
    registrar.spoil_next_download(DownloadFault::LastByte);
    let second = registrar.publish(&["debian12"]).await;
    node.in_step_at(&second.name).await;
    assert_eq!(registrar.offsets(), [0, 0, 0]);
    node.stop().await;
}
