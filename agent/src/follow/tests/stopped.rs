//! What only a person can mend: nothing is changed, it is reported, and following goes on once it is mended.

use super::{followed, snapshots};
use crate::testing::DownloadFault;
use bootstash_base::testing::fail_on_warnings;
use bootstash_daemon::telemetry::TextFormat;
use bootstash_delta::VolumeLog;
use bootstash_net::api::{AgentState, ConflictingHost, IdentityConflict};
use bootstash_zfs::Zfs;

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

#[tokio::test]
async fn a_node_whose_identity_another_host_uses_says_so_once_and_follows_on() {
    let mut watch = fail_on_warnings();
    watch.expect("2 hosts use this node's identity (10.0.0.5, 10.0.0.6)");
    let (mut node, registrar, _) = followed().await;
    let host = |address: &str, host: &str| ConflictingHost {
        address: address.to_owned(),
        last_contact: chrono::Utc::now(),
        host: host.parse().unwrap(),
    };
    let hosts = vec![host("10.0.0.5", "m.1"), host("10.0.0.6", "m.2")];
    registrar.tell_conflict(IdentityConflict { hosts });
    for image in ["debian12", "fedora"] {
        let published = registrar.publish(&[image]).await;
        node.in_step_at(&published.name).await;
    }
    assert_eq!(watch.lines().len(), 1, "{:?}", watch.lines());
    assert!(registrar.reports_since(0).iter().all(|report| report.host == Some("m.1".parse().unwrap())));
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
    let text = node.metrics.scrape(&node.volume().state(), None, TextFormat::OpenMetrics).unwrap();
    assert!(text.contains("bootstash_agent_apply_failures_total{kind=\"operator\"}"), "{text}");
    node.stop().await;
}
