//! Views that somebody destroyed, moved or holds, while the agent runs.

use super::{alpine, filled};
use crate::testing::Node;
use crate::volume::OpenError;
use bootstash_base::error::{Classified, ErrorClass};
use bootstash_base::names::DatasetName;
use bootstash_base::testing::fail_on_warnings;
use bootstash_zfs::{CreateError, NewDataset, Removed, Role, Zfs};
use std::path::Path;
use std::time::Duration;

/// Longer than it takes until views are looked at.
const LIMIT: Duration = Duration::from_secs(60);

async fn until_there(file: &Path) {
    let there = async {
        while !file.exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, there).await.unwrap();
}

fn held(node: &Node) -> Vec<DatasetName> {
    node.volume().state().held.into_iter().map(|view| view.dataset).collect()
}

#[tokio::test]
async fn a_view_destroyed_by_hand_is_made_anew_unasked() {
    let mut watch = fail_on_warnings();
    watch.expect("made view");
    let (mut node, _registrar, first) = filled().await;
    let made = node.volume().create_overlay(alpine(), node.vm("a.qcow2")).await.unwrap();
    let before = std::fs::read(&made.cache).unwrap();
    node.zfs.destroy(&node.layout().view(&first.name).unwrap()).await.unwrap();
    assert!(!made.cache.exists());
    until_there(&made.cache).await;
    assert_eq!(std::fs::read(&made.cache).unwrap(), before);
    node.stop().await;
}

#[tokio::test]
async fn a_view_that_was_mounted_elsewhere_is_brought_back() {
    let mut watch = fail_on_warnings();
    watch.expect("mounted view");
    let (mut node, _registrar, first) = filled().await;
    let made = node.volume().create_overlay(alpine(), node.vm("a.qcow2")).await.unwrap();
    let elsewhere = node.dir.path().join("elsewhere");
    node.zfs.move_mount(&node.layout().view(&first.name).unwrap(), &elsewhere).unwrap();
    assert!(!made.cache.exists() && elsewhere.join("images").exists());
    // What lies below, and looks right.
    std::fs::create_dir_all(made.cache.parent().unwrap()).unwrap();
    until_there(&made.cache).await;
    assert!(!elsewhere.join("images").exists());
    node.stop().await;
}

/// Two histories of a registrar, one of them restored from a backup, can give one name to two snapshots.
#[tokio::test]
async fn a_view_whose_snapshot_has_a_namesake_is_mounted_and_no_other_is_made() {
    let mut watch = fail_on_warnings();
    watch.expect("different snapshots called");
    let (mut node, _registrar, first) = filled().await;
    let made = node.volume().create_overlay(alpine(), node.vm("a.qcow2")).await.unwrap();
    let before = std::fs::read(&made.cache).unwrap();
    node.stop().await;
    let layout = node.layout();
    node.zfs.unmount(&layout.view(&first.name).unwrap());
    let newer = layout.generation(2).unwrap();
    let properties = NewDataset { role: Role::Volume, mountpoint: None, properties: Vec::new() };
    node.zfs.create(&newer, &properties).await.unwrap();
    assert_ne!(node.zfs.snapshot(&newer, &first.name).await.unwrap().guid, first.guid);

    node.start_volume().await.unwrap();
    assert_eq!(std::fs::read(&made.cache).unwrap(), before);
    let refused = node.volume().create_overlay(alpine(), node.vm("b.qcow2")).await.unwrap_err();
    assert!(refused.to_string().contains("different snapshots called"), "{refused}");
    node.stop().await;
}

/// Its snapshot went with it: nothing brings that back, and what to do is said, once.
#[tokio::test]
async fn a_view_whose_snapshot_was_destroyed_too_is_told_of_with_the_remedy() {
    let mut watch = fail_on_warnings();
    watch.expect("was destroyed by hand");
    watch.expect("qemu-img rebase");
    let (mut node, _registrar, first) = filled().await;
    node.volume().create_overlay(alpine(), node.vm("a.qcow2")).await.unwrap();
    node.zfs.destroy(&node.layout().view(&first.name).unwrap()).await.unwrap();
    node.zfs.destroy_snapshot(&node.layout().volume, &first.name).await.unwrap();
    let mut published = node.volume().published();
    let gone = published.wait_for(|state| state.snapshots.is_empty() && state.views.is_empty());
    tokio::time::timeout(LIMIT, gone).await.unwrap().unwrap();
    node.stop().await;
}

/// As on zfs-fuse, where a process keeps an earlier mount in a namespace of its own.
#[tokio::test]
async fn another_view_takes_the_place_of_one_that_somebody_holds() {
    let mut watch = fail_on_warnings();
    watch.expect("another view of the same snapshot takes its place");
    let (mut node, _registrar, first) = filled().await;
    let made = node.volume().create_overlay(alpine(), node.vm("a.qcow2")).await.unwrap();
    let (layout, before) = (node.layout(), std::fs::read(&made.cache).unwrap());
    let view = layout.view(&first.name).unwrap();
    node.zfs.set_held(&view, true);
    assert_eq!(node.volume().remove_overlay(node.vm("a.qcow2")).await.unwrap(), Removed::Removed);
    assert_eq!((node.views().await, held(&node)), (vec![view.clone()], vec![view.clone()]));
    assert!(!made.cache.exists());

    let again = node.volume().create_overlay(alpine(), node.vm("b.qcow2")).await.unwrap();
    assert_eq!((&again.cache, std::fs::read(&again.cache).unwrap()), (&made.cache, before));
    let second = layout.numbered_view(&first.name, 2).unwrap();
    assert_eq!((node.views().await, held(&node)), (vec![view.clone(), second.clone()], vec![view.clone()]));

    node.stop().await;
    node.start_volume().await.unwrap();
    assert!(again.cache.exists() && held(&node) == [view.clone()]);
    node.zfs.set_held(&view, false);
    node.volume().collect(Duration::ZERO, false).await.unwrap();
    assert_eq!((node.views().await, held(&node)), (vec![second], vec![]));
    node.volume().remove_overlay(node.vm("b.qcow2")).await.unwrap();
    assert!(node.views().await.is_empty() && !again.cache.exists());
    node.volume().create_overlay(alpine(), node.vm("c.qcow2")).await.unwrap();
    assert_eq!(node.views().await, [view]);
    node.stop().await;
}

#[tokio::test]
async fn an_overlay_on_a_snapshot_that_was_destroyed_says_so() {
    let mut watch = fail_on_warnings();
    watch.expect("was destroyed by hand");
    let (mut node, registrar, first) = filled().await;
    let second = registrar.publish(&["debian12-nginx"]).await;
    node.in_step_at(&second.name).await;
    node.zfs.destroy_snapshot(&node.layout().volume, &second.name).await.unwrap();
    let error = node.volume().create_overlay(alpine(), node.vm("a.qcow2")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorClass::Transient, "{error}");
    assert!(
        error.to_string().contains("destroyed by hand") && error.to_string().contains("bootstash status")
    );
    let made = node.volume().create_overlay(alpine(), node.vm("a.qcow2")).await.unwrap();
    assert_eq!(made.snapshot, first.name);
    node.stop().await;
}

#[tokio::test]
async fn a_registrars_data_set_is_not_taken_over() {
    let _watch = fail_on_warnings();
    let mut node = Node::new();
    let root = node.layout().root;
    node.start_volume().await.unwrap();
    node.stop().await;
    assert_eq!(node.zfs.dataset(&root).await.unwrap().unwrap().owner.as_deref(), Some("agent:c17"));
    node.zfs.forget_owner(&root);
    node.start_volume().await.unwrap();
    node.stop().await;
    node.zfs.destroy(&node.layout().views).await.unwrap();
    node.zfs.destroy(&root).await.unwrap();
    let new = crate::layout::Layout::new_root();
    bootstash_zfs::make_root(node.zfs.as_ref(), &root, &new, &bootstash_zfs::Owner::Registrar).await.unwrap();
    let refused = node.start_volume().await.unwrap_err();
    assert!(matches!(refused, OpenError::Create(CreateError::Owned { .. })), "{refused}");
    assert!(node.zfs.children(&root).await.unwrap().is_empty(), "something was made in it");
}
