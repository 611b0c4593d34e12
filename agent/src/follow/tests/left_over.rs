//! What an agent that was killed or stopped left behind.

use super::{fetched_files, followed, serving_registrar, snapshots};
use crate::testing::{Node, soon};
use bootstash_base::testing::fail_on_warnings;
use bootstash_zfs::fake::Verb;
use bootstash_zfs::{NewDataset, Role, Zfs};

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
