//! Overlays whose files are deleted behind the agent's back, and storage that is away.

use super::{alpine, filled, leases, lock_as_qemu};
use bootstash_base::mount_table::MountTable;
use bootstash_base::testing::fail_on_warnings;
use bootstash_net::api::OverlayState;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

const HOUR: Duration = Duration::from_secs(3600);

/// Changes a record on disk, as if it had been written so.
fn edit_record(dir: &Path, edit: impl Fn(&mut serde_json::Value)) {
    for file in std::fs::read_dir(dir).unwrap() {
        let file = file.unwrap().path();
        let mut record = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        edit(&mut record);
        std::fs::write(&file, record.to_string()).unwrap();
    }
}

#[tokio::test]
async fn deleted_overlay_is_noted_then_let_go_with_its_view() {
    let _watch = fail_on_warnings();
    let (mut node, _registrar, first) = filled().await;
    node.volume().create_overlay(alpine(), node.vm("a.qcow2")).await.unwrap();
    std::fs::remove_file(node.vm("a.qcow2")).unwrap();
    let report = node.volume().collect(HOUR, false).await.unwrap();
    assert_eq!((report.overlays_released, report.views), (Vec::new(), Vec::new()));
    assert_eq!((node.volume().state().missing_overlays(), leases(&node)), (1, 1));
    let would = node.volume().collect(Duration::ZERO, true).await.unwrap();
    assert_eq!((node.views().await.len(), leases(&node)), (1, 1), "a dry run changed something");
    let did = node.volume().collect(Duration::ZERO, false).await.unwrap();
    for report in [would, did] {
        let released = &report.overlays_released[0];
        assert_eq!((&released.path, &released.snapshot), (&node.vm("a.qcow2"), &first.name));
        assert!(released.reason.contains("gone for"), "{}", released.reason);
        assert!(!report.views[0].keep && report.views[0].snapshot == first.name);
    }
    assert_eq!((node.views().await.len(), leases(&node)), (0, 0));
    node.stop().await;
}

#[tokio::test]
async fn a_deleted_overlay_is_made_anew_at_its_path_and_its_view_goes_with_a_collection() {
    let _watch = fail_on_warnings();
    let (mut node, registrar, first) = filled().await;
    let old = node.volume().create_overlay(alpine(), node.vm("a.qcow2")).await.unwrap();
    std::fs::remove_file(node.vm("a.qcow2")).unwrap();
    let second = registrar.publish(&["debian12-nginx"]).await;
    node.in_step_at(&second.name).await;
    let new = node.volume().create_overlay(alpine(), node.vm("a.qcow2")).await.unwrap();
    assert_eq!((old.snapshot, &new.snapshot), (first.name, &second.name));
    assert!(node.vm("a.qcow2").exists());
    assert_eq!((node.views().await.len(), leases(&node)), (2, 1), "the file may have been moved");
    node.volume().collect(HOUR, false).await.unwrap();
    assert_eq!((node.views().await.len(), leases(&node)), (1, 1));
    node.stop().await;
}

#[tokio::test]
async fn absence_is_counted_from_when_it_was_first_seen_also_across_restarts() {
    let _watch = fail_on_warnings();
    let (mut node, _registrar, _) = filled().await;
    node.volume().create_overlay(alpine(), node.vm("a.qcow2")).await.unwrap();
    node.stop().await;
    let copy = node.vm("../backup");
    std::fs::rename(node.vm("a.qcow2"), &copy).unwrap();
    node.start_volume().await.unwrap();
    let since = node.volume().state().leases[0].missing_since.unwrap();
    assert_eq!(node.views().await.len(), 1, "it is not let go at a start");
    node.stop().await;
    node.start_volume().await.unwrap();
    assert_eq!(node.volume().state().leases[0].missing_since, Some(since));
    std::fs::rename(&copy, node.vm("a.qcow2")).unwrap();
    let report = node.volume().collect(Duration::ZERO, false).await.unwrap();
    assert_eq!(report.overlays_released, []);
    assert_eq!(node.volume().state().missing_overlays(), 0);
    node.stop().await;
}

#[tokio::test]
async fn no_window_keeps_a_gone_overlay_for_longer_than_a_day() {
    let _watch = fail_on_warnings();
    let (mut node, _registrar, _) = filled().await;
    node.volume().create_overlay(alpine(), node.vm("a.qcow2")).await.unwrap();
    node.stop().await;
    std::fs::remove_file(node.vm("a.qcow2")).unwrap();
    let since = |hours| (chrono::Utc::now() - chrono::TimeDelta::hours(hours)).to_rfc3339();
    for (hours, released) in [(23, 0), (25, 1)] {
        edit_record(&node.layout().leases_dir, |record| record["missing_since"] = since(hours).into());
        node.start_volume().await.unwrap();
        let report = node.volume().collect(HOUR * 24 * 7, false).await.unwrap();
        assert_eq!(report.overlays_released.len(), released, "{hours} hours");
        node.stop().await;
    }
}

#[tokio::test]
async fn overlay_on_storage_that_is_not_mounted_is_kept() {
    let _watch = fail_on_warnings();
    let (mut node, _registrar, _) = filled().await;
    std::fs::create_dir(node.vm("nfs")).unwrap();
    node.volume().create_overlay(alpine(), node.vm("nfs/a.qcow2")).await.unwrap();
    node.stop().await;
    let mount_point = node.vm("nfs");
    let noted = |record: &mut serde_json::Value| record["mount_point"] = mount_point.to_str().into();
    edit_record(&node.layout().leases_dir, noted);
    std::fs::remove_file(node.vm("nfs/a.qcow2")).unwrap();
    node.start_volume().await.unwrap();
    let error = node.volume().create_overlay(alpine(), node.vm("nfs/a.qcow2")).await.unwrap_err();
    assert!(error.to_string().contains("not mounted; mount that"), "{error}");
    for mounted in ["empty", "gone"] {
        let report = node.volume().collect(Duration::ZERO, false).await.unwrap();
        assert_eq!((report.overlays_released, report.views), (Vec::new(), Vec::new()), "{mounted}");
        let overlays = node.volume().overlays().await;
        assert_eq!((overlays[0].state, overlays[0].missing_since), (OverlayState::Unreachable, None));
        drop(std::fs::remove_dir(&mount_point));
    }
    assert_eq!((node.views().await.len(), node.volume().state().missing_overlays()), (1, 0));
    node.stop().await;
}

#[tokio::test]
async fn storage_that_hangs_holds_up_neither_the_list_nor_the_volume() {
    let mut watch = fail_on_warnings();
    watch.expect("its storage does not answer");
    let (mut node, _registrar, _) = filled().await;
    node.volume().create_overlay(alpine(), node.vm("a.qcow2")).await.unwrap();
    std::fs::remove_file(node.vm("a.qcow2")).unwrap();
    let storage = MountTable::read().mount_point_of(&node.vm("a.qcow2"));
    let (release, released) = std::sync::mpsc::channel::<()>();
    let handle = node.volume();
    let hanging = handle.storage.ask(&storage, Instant::now(), move || _ = released.recv());
    assert_eq!(hanging.await, None);
    let overlays = node.volume().overlays().await;
    assert_eq!(overlays[0].state, OverlayState::Unreachable);
    let report = node.volume().collect(Duration::ZERO, false).await.unwrap();
    assert_eq!((report.overlays_released.len(), leases(&node)), (0, 1), "unknown counts as there");
    release.send(()).unwrap();
    assert_eq!(node.volume().collect(Duration::ZERO, false).await.unwrap().overlays_released.len(), 1);
    node.stop().await;
}

#[tokio::test]
async fn list_says_what_each_overlay_is_now() {
    let _watch = fail_on_warnings();
    let (mut node, _registrar, _) = filled().await;
    for name in ["a", "b", "c"] {
        node.volume().create_overlay(alpine(), node.vm(name)).await.unwrap();
    }
    let _qemu = lock_as_qemu(&node.vm("b"));
    std::fs::remove_file(node.vm("c")).unwrap();
    let list = async || -> Vec<(PathBuf, OverlayState, bool)> {
        let overlays = node.volume().overlays().await.into_iter();
        overlays.map(|it| (it.overlay.path, it.state, it.missing_since.is_some())).collect()
    };
    let expected = [
        (node.vm("a"), OverlayState::Stopped, false),
        (node.vm("b"), OverlayState::Running, false),
        (node.vm("c"), OverlayState::Missing, true),
    ];
    assert_eq!(list().await, expected);
    node.volume().collect(HOUR, false).await.unwrap();
    let since = node.volume().state().leases[2].missing_since;
    assert_eq!(node.volume().overlays().await[2].missing_since, since);
    node.stop().await;
}
