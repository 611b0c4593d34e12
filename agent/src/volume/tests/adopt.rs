//! Overlays that another node made, in a directory that both see.

use super::{alpine, filled, leases};
use crate::testing::write_overlay;
use crate::volume::{AdoptOverlayError, OverlayWatch};
use bootstash_base::names::SnapshotName;
use bootstash_base::testing::fail_on_warnings;
use bootstash_delta::catalog::cache_path;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

#[tokio::test]
async fn an_overlay_of_another_node_gets_its_view_and_its_record_at_once() {
    let _watch = fail_on_warnings();
    let (mut node, _registrar, first) = filled().await;
    let cache = cache_path(&node.layout().mountpoint(&first.name), &alpine());
    write_overlay(&node.vm("theirs.qcow2"), &cache, 70_144).unwrap();
    std::os::unix::fs::symlink("theirs.qcow2", node.vm("disk.0")).unwrap();
    let reply = node.volume().adopt_overlay(node.vm("disk.0")).await.unwrap();
    assert!(reply.adopted && !reply.awaits_snapshot);
    assert_eq!((reply.overlay.path, reply.overlay.cache), (node.vm("theirs.qcow2"), cache.clone()));
    assert!(cache.is_file());
    assert_eq!((leases(&node), node.views().await.len()), (1, 1));
    let again = node.volume().adopt_overlay(node.vm("theirs.qcow2")).await.unwrap();
    assert!(!again.adopted);
    // It stays as any other does.
    node.stop().await;
    node.start_volume().await.unwrap();
    assert!(cache.is_file());
    node.stop().await;
}

#[tokio::test]
async fn an_overlay_on_a_snapshot_that_is_on_its_way_can_start_once_that_is_here() {
    let _watch = fail_on_warnings();
    let (mut node, registrar, _) = filled().await;
    // As another node sees it, which has the next snapshot already.
    let next = SnapshotName::new(2, chrono::Utc::now());
    let cache = cache_path(&node.layout().mountpoint(&next), &alpine());
    write_overlay(&node.vm("a.qcow2"), &cache, 70_144).unwrap();
    let reply = node.volume().adopt_overlay(node.vm("a.qcow2")).await.unwrap();
    assert!(reply.adopted && reply.awaits_snapshot && !cache.exists());
    let published = registrar.publish_as(&["fedora"], next.clone()).await;
    node.in_step_at(&published.name).await;
    assert!(cache.is_file());
    node.stop().await;
}

#[tokio::test]
async fn what_is_no_overlay_or_has_lost_its_cache_is_refused_and_nothing_is_changed() {
    let _watch = fail_on_warnings();
    let (mut node, registrar, first) = filled().await;
    let second = registrar.publish(&["fedora"]).await;
    node.in_step_at(&second.name).await;
    write_overlay(&node.vm("base"), "/elsewhere/cache.qcow2".as_ref(), 1 << 20).unwrap();
    std::fs::write(node.vm("raw"), "data").unwrap();
    node.volume().collect(Duration::ZERO, false).await.unwrap();
    let lost = cache_path(&node.layout().mountpoint(&first.name), &alpine());
    write_overlay(&node.vm("lost"), &lost, 70_144).unwrap();
    let adopt = async |path: PathBuf| node.volume().adopt_overlay(path).await.unwrap_err();
    assert!(matches!(adopt(node.vm("absent")).await, AdoptOverlayError::NoFile { .. }));
    assert!(matches!(adopt("relative".into()).await, AdoptOverlayError::NoFile { .. }));
    let foreign = adopt(node.vm("base")).await.to_string();
    assert!(foreign.contains("base chains onto /elsewhere/cache.qcow2"), "{foreign}");
    let raw = adopt(node.vm("raw")).await.to_string();
    assert!(raw.contains("raw is no qcow2 file"), "{raw}");
    let gone = adopt(node.vm("lost")).await.to_string();
    assert!(gone.contains("does not have any more") && gone.contains("qemu-img rebase -u"), "{gone}");
    assert_eq!((leases(&node), node.views().await.len()), (0, 0));
    node.stop().await;
}

#[tokio::test]
async fn a_look_finds_what_other_nodes_made_in_a_directory_for_each_vm() {
    let mut watch = fail_on_warnings();
    watch.expect("does not have any more");
    let (mut node, _registrar, first) = filled().await;
    let bad = node.vm("").join(OsStr::from_bytes(b"caf\xe9"));
    for folder in [node.vm("vm1"), bad.clone()] {
        std::fs::create_dir(folder).unwrap();
    }
    node.stop().await;
    node.overlay_dirs = vec![node.vm("*")];
    node.start_volume().await.unwrap();
    let mut look = OverlayWatch::new(node.volume(), node.layout());
    look.look().await;
    assert_eq!(leases(&node), 0);
    let cache = |snapshot| cache_path(&node.layout().mountpoint(snapshot), &alpine());
    let odd = bad.join(OsStr::from_bytes(b"\xff.qcow2"));
    write_overlay(&node.vm("vm1/a.qcow2"), &cache(&first.name), 70_144).unwrap();
    write_overlay(&odd, &cache(&first.name), 70_144).unwrap();
    let lost = SnapshotName::new(1, chrono::DateTime::UNIX_EPOCH);
    write_overlay(&node.vm("vm1/lost.qcow2"), &cache(&lost), 70_144).unwrap();
    // What is half written is read again, whatever it was at the first look.
    std::fs::write(node.vm("vm1/b.qcow2"), "").unwrap();
    for _ in 0..3 {
        look.look().await;
    }
    let adopted = |node: &crate::testing::Node| -> Vec<PathBuf> {
        node.volume().state().overlays().map(|overlay| overlay.path.clone()).collect()
    };
    assert_eq!(adopted(&node), [odd.clone(), node.vm("vm1/a.qcow2")]);
    assert!(cache(&first.name).is_file());
    std::fs::remove_file(node.vm("vm1/b.qcow2")).unwrap();
    write_overlay(&node.vm("vm1/b.qcow2"), &cache(&first.name), 70_144).unwrap();
    look.look().await;
    assert_eq!(adopted(&node).len(), 3);
    // The cache that is lost was told of once.
    assert_eq!(watch.lines().len(), 1, "{:?}", watch.lines());
    // Names that are no UTF-8 break neither lists, nor records, nor removing.
    let listed = serde_json::to_string(&node.volume().overlays().await).unwrap();
    assert!(listed.contains(r"caf\\xe9/\\xff.qcow2'"), "{listed}");
    node.stop().await;
    std::fs::remove_file(node.vm("vm1/lost.qcow2")).unwrap();
    node.start_volume().await.unwrap();
    assert!(adopted(&node).contains(&odd));
    node.volume().remove_overlay(odd.clone()).await.unwrap();
    assert!(!odd.exists());
    let report = node.volume().collect(Duration::ZERO, true).await.unwrap();
    serde_json::to_string(&report).unwrap();
    node.stop().await;
}
