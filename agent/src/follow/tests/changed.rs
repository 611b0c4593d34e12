//! Volumes that were changed behind the agent's back: what mends them is said where an operator looks.

use super::{followed, snapshots};
use bootstash_base::testing::fail_on_warnings;
use bootstash_net::api::AgentState;
use bootstash_zfs::Zfs;

#[tokio::test]
async fn a_node_whose_newest_snapshot_is_gone_names_the_command_that_mends_it() {
    let mut watch = fail_on_warnings();
    let (mut node, registrar, first) = followed().await;
    let second = registrar.publish(&["debian12"]).await;
    node.in_step_at(&second.name).await;
    let volume = node.layout().volume;
    let command = format!("zfs rollback {volume}@{}", first.name);
    watch.expect(format!("stopped: {volume} was modified"));
    node.zfs.destroy_snapshot(&volume, &second.name).await.unwrap();
    let third = registrar.publish(&["debian12-nginx"]).await;
    let stopped = node.state(|state| matches!(state, AgentState::Stopped { .. })).await;
    let AgentState::Stopped { error } = stopped else { unreachable!() };
    assert!(error.ends_with(&command), "{error}");
    let report = registrar.report(|report| report.problem.is_some()).await;
    assert_eq!(report.problem, Some(error));
    assert_eq!(snapshots(&node).await, [first.guid]);
    node.zfs.roll_back(&volume).unwrap();
    node.in_step_at(&third.name).await;
    node.stop().await;
}
