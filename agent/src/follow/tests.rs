use crate::testing::{DownloadFault, Node, StubPeer, StubRegistrar, soon};
use bootstash_base::names::Guid;
use bootstash_base::testing::fail_on_warnings;
use bootstash_delta::VolumeLog;
use bootstash_net::api::AgentState;
use bootstash_zfs::fake::Verb;
use bootstash_zfs::{NewDataset, Role, Snapshot, Zfs};

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
async fn what_a_cut_download_left_goes_when_the_node_comes_in_step_another_way() {
    let mut node = Node::new();
    let registrar = serving_registrar(&node).await;
    let newest = registrar.publish(&["alpine"]).await;
    registrar.stream(&[]);
    std::fs::create_dir_all(node.layout().fetch_dir).unwrap();
    std::fs::write(node.layout().fetch_dir.join("ab"), "half of a delta").unwrap();
    node.start(registrar.address()).await;
    node.in_step_at(&newest.name).await;
    assert_eq!(fetched_files(&node), 0);
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

#[tokio::test]
async fn delta_damaged_twice_stops_says_so_and_heals() {
    let mut watch = fail_on_warnings();
    watch.expect("fetching");
    watch.expect("stopped: what the registrar sent");
    let (mut node, registrar, first) = followed().await;
    registrar.spoil_next_download(DownloadFault::LastByte);
    registrar.spoil_next_download(DownloadFault::LastByte);
    let second = registrar.publish(&["debian12"]).await;
    let report = registrar.report(|report| report.problem.is_some()).await;
    assert_eq!(report.head.map(|head| head.guid), Some(first.guid));
    node.in_step_at(&second.name).await;
    registrar.report(|report| report.problem.is_none()).await;
    node.stop().await;
}

#[tokio::test]
async fn delta_for_another_base_stops_without_a_change() {
    let mut watch = fail_on_warnings();
    watch.allow("fetching");
    watch.expect("stopped: delta");
    let (mut node, registrar, first) = followed().await;
    let second = registrar.publish(&["debian12"]).await;
    node.in_step_at(&second.name).await;
    let third = registrar.publish(&["debian12-nginx"]).await;
    node.in_step_at(&third.name).await;
    node.stop().await;
    // A log that says of the delta from the second snapshot that it starts from the first.
    registrar.change_log(|log| {
        log.deltas.remove(0);
        log.deltas[0].from = Some(first.guid);
    });
    for snapshot in [&third, &second] {
        node.zfs.destroy_snapshot(&node.layout().volume, &snapshot.name).await.unwrap();
    }
    node.start(registrar.address()).await;
    node.state(|state| matches!(state, AgentState::Stopped { .. })).await;
    assert_eq!(snapshots(&node).await, [first.guid]);
    node.stop().await;
}

#[tokio::test]
async fn a_registrar_that_has_nothing_is_not_followed() {
    let mut watch = fail_on_warnings();
    watch.expect("no snapshot at all");
    let (mut node, registrar, first) = followed().await;
    registrar.change_log(|log| *log = VolumeLog::default());
    let stopped = node.state(|state| matches!(state, AgentState::Stopped { .. })).await;
    let AgentState::Stopped { error } = stopped else { unreachable!() };
    assert!(error.contains("nothing was changed"), "{error}");
    assert_eq!(snapshots(&node).await, [first.guid]);
    let report = registrar.report(|report| report.problem.is_some()).await;
    assert_eq!(report.problem, Some(error));
    node.stop().await;
}

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
    let text = node.metrics.scrape(&node.volume().state(), None).unwrap();
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

#[tokio::test]
async fn full_pool_stops_until_there_is_space() {
    let mut watch = fail_on_warnings();
    watch.expect("no space in the pool");
    let (mut node, registrar, first) = followed().await;
    node.zfs.set_capacity("tank", 310_000);
    let second = registrar.publish(&["debian12"]).await;
    node.state(|state| matches!(state, AgentState::Stopped { .. })).await;
    assert_eq!(snapshots(&node).await, [first.guid]);
    node.zfs.set_capacity("tank", 1 << 30);
    node.in_step_at(&second.name).await;
    let text = node.metrics.scrape(&node.volume().state(), None).unwrap();
    assert!(text.contains("bootstash_agent_apply_failures_total{kind=\"operator\"}"), "{text}");
    node.stop().await;
}

#[tokio::test]
async fn stopping_ends_a_receive_at_the_snapshot_before() {
    let _watch = fail_on_warnings();
    let (mut node, registrar, first) = followed().await;
    let mut receiving = node.zfs.hang_next(Verb::Receive);
    registrar.publish(&["debian12"]).await;
    soon(receiving.reached()).await;
    node.cancel().cancel();
    receiving.release();
    node.stop().await;
    assert_eq!(snapshots(&node).await, [first.guid]);
}

/// As an agent leaves it that is killed between applying a delta and removing its file.
#[tokio::test]
async fn what_a_dead_agent_left_of_its_fetches_goes_once_the_node_is_in_step() {
    let _watch = fail_on_warnings();
    let (mut node, registrar, first) = followed().await;
    node.stop().await;
    std::fs::write(node.layout().fetch_dir.join("ab".repeat(32)), "applied").unwrap();
    node.start(registrar.address()).await;
    node.in_step_at(&first.name).await;
    assert_eq!(fetched_files(&node), 0);
    node.stop().await;
}

/// zfs-fuse leaves it behind a receive of a whole volume whose command was killed.
#[tokio::test]
async fn an_empty_file_system_that_a_killed_receive_left_is_no_obstacle() {
    let _watch = fail_on_warnings();
    let mut node = Node::new();
    let registrar = serving_registrar(&node).await;
    let newest = registrar.publish(&["alpine"]).await;
    registrar.offer_full(0).await;
    let layout = node.layout();
    let new = |role| NewDataset { role, mountpoint: None, properties: Vec::new() };
    node.zfs.create(&layout.root, &new(Role::Root)).await.unwrap();
    node.zfs.create(&layout.volume, &new(Role::Volume)).await.unwrap();
    node.start(registrar.address()).await;
    node.in_step_at(&newest.name).await;
    assert_eq!(snapshots(&node).await, [newest.guid]);
    node.stop().await;
}

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
    assert_eq!(peer.asked().len(), 1);
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
    assert_eq!(peer.asked().len(), 1);
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
