//! Records rebuilt from the overlays on disk.

use super::{alpine, filled, leases};
use crate::testing::write_overlay;
use crate::volume::OpenError;
use bootstash_base::testing::fail_on_warnings;
use bootstash_zfs::Zfs;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn lost_state_directory_comes_back_from_the_overlays_themselves() {
    let _watch = fail_on_warnings();
    let (mut node, registrar, first) = filled().await;
    let made = node.volume().create_overlay(alpine(), node.vm("a.qcow2")).await.unwrap();
    let second = registrar.publish(&["debian12-nginx"]).await;
    node.in_step_at(&second.name).await;
    node.stop().await;
    std::fs::remove_dir_all(node.dir.path().join("state")).unwrap();
    node.overlay_dirs = vec![node.vm("")];
    node.start_volume().await.unwrap();
    let state = node.volume().state();
    let found = &state.leases[0];
    assert_eq!((&found.overlay.path, &found.overlay.snapshot), (&made.path, &first.name));
    assert_eq!(
        (&found.overlay.image, found.overlay.virtual_size_bytes),
        (&made.image, made.virtual_size_bytes)
    );
    assert_eq!((&found.overlay.cache, leases(&node)), (&made.cache, 1));
    assert!(found.mount_point.is_some() && made.cache.is_file());
    assert_eq!(node.views().await, [node.layout().view(&first.name).unwrap()]);
    node.stop().await;
}

#[tokio::test]
async fn overlay_that_is_in_no_known_directory_is_not_found() {
    let _watch = fail_on_warnings();
    let (mut node, _registrar, _) = filled().await;
    node.volume().create_overlay(alpine(), node.vm("a.qcow2")).await.unwrap();
    node.stop().await;
    std::fs::remove_dir_all(node.dir.path().join("state")).unwrap();
    node.start_volume().await.unwrap();
    assert_eq!((leases(&node), node.views().await.len()), (0, 0));
    node.stop().await;
}

#[tokio::test]
async fn moved_overlay_keeps_its_view_and_gets_a_record_where_it_is() {
    let _watch = fail_on_warnings();
    let (mut node, _registrar, first) = filled().await;
    let made = node.volume().create_overlay(alpine(), node.vm("a.qcow2")).await.unwrap();
    std::fs::rename(node.vm("a.qcow2"), node.vm("b.qcow2")).unwrap();
    let report = node.volume().collect(Duration::ZERO, false).await.unwrap();
    assert_eq!(report.overlays_released[0].path, node.vm("a.qcow2"));
    assert_eq!(report.views, []);
    let state = node.volume().state();
    let paths: Vec<_> = state.overlays().map(|overlay| (&overlay.path, &overlay.snapshot)).collect();
    assert_eq!(paths, [(&node.vm("b.qcow2"), &first.name)]);
    assert!(made.cache.is_file());
    node.stop().await;
}

/// `mv b.qcow2 a.qcow2`: what is on record for the path is not what lies there.
#[tokio::test]
async fn overlay_that_took_anothers_place_keeps_its_own_view() {
    let _watch = fail_on_warnings();
    let (mut node, registrar, _) = filled().await;
    node.volume().create_overlay(alpine(), node.vm("a.qcow2")).await.unwrap();
    let second = registrar.publish(&["debian12-nginx"]).await;
    node.in_step_at(&second.name).await;
    let newer = node.volume().create_overlay(alpine(), node.vm("b.qcow2")).await.unwrap();
    std::fs::rename(node.vm("b.qcow2"), node.vm("a.qcow2")).unwrap();
    node.volume().collect(Duration::ZERO, false).await.unwrap();
    let state = node.volume().state();
    let kept: Vec<_> = state.overlays().map(|overlay| (&overlay.path, &overlay.snapshot)).collect();
    assert_eq!(kept, [(&node.vm("a.qcow2"), &second.name)]);
    assert!(newer.cache.is_file() && node.views().await.len() == 1);
    node.stop().await;
}

#[tokio::test]
async fn view_that_was_destroyed_is_made_anew_from_its_snapshot() {
    let _watch = fail_on_warnings();
    let (mut node, registrar, first) = filled().await;
    let made = node.volume().create_overlay(alpine(), node.vm("a.qcow2")).await.unwrap();
    let bytes = std::fs::read(&made.cache).unwrap();
    std::fs::rename(node.vm("a.qcow2"), node.vm("../away")).unwrap();
    node.volume().remove_overlay(node.vm("a.qcow2")).await.unwrap();
    let second = registrar.publish(&["debian12-nginx"]).await;
    node.in_step_at(&second.name).await;
    node.volume().create_overlay(alpine(), node.vm("other")).await.unwrap();
    assert!(!made.cache.exists());
    std::fs::rename(node.vm("../away"), node.vm("a.qcow2")).unwrap();
    let report = node.volume().collect(Duration::ZERO, false).await.unwrap();
    assert!(report.snapshots.iter().any(|fate| fate.keep && fate.name == first.name), "{report:?}");
    assert_eq!(std::fs::read(&made.cache).unwrap(), bytes);
    node.stop().await;
}

#[tokio::test]
async fn overlay_whose_snapshot_is_gone_is_told_with_the_remedy() {
    let mut watch = fail_on_warnings();
    let (mut node, registrar, _) = filled().await;
    node.stop().await;
    let gone = "bs-000007-20261121T101530Z".parse().unwrap();
    let cache = bootstash_delta::catalog::cache_path(&node.layout().mountpoint(&gone), &alpine());
    write_overlay(&node.vm("a.qcow2"), &cache, 70_144).unwrap();
    node.overlay_dirs = vec![node.vm("")];
    let (base, overlay) = (registrar.base_of("alpine"), node.vm("a.qcow2"));
    watch.expect(format!("qemu-img rebase -u -b '{}' -F raw '{}'", base.display(), overlay.display()));
    node.start_volume().await.unwrap();
    assert_eq!(leases(&node), 1);
    // Once that was done, nothing of it stays.
    std::fs::remove_file(&overlay).unwrap();
    write_overlay(&overlay, &base, 70_144).unwrap();
    assert_eq!(node.volume().collect(HOUR, false).await.unwrap().overlays_released, []);
    let report = node.volume().collect(Duration::ZERO, false).await.unwrap();
    assert!(report.overlays_released[0].reason.contains("does not chain"), "{report:?}");
    assert!(overlay.exists() && leases(&node) == 0);
    node.stop().await;
}

#[tokio::test]
async fn damaged_record_is_written_anew_if_its_overlay_is_found_and_else_stops_the_start() {
    let mut watch = fail_on_warnings();
    let (mut node, _registrar, _) = filled().await;
    let made = node.volume().create_overlay(alpine(), node.vm("a.qcow2")).await.unwrap();
    node.stop().await;
    let records = node.layout().leases_dir;
    let record = std::fs::read_dir(&records).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&record, "{").unwrap();
    let error = node.start_volume().await.unwrap_err();
    assert!(matches!(error, OpenError::Lease(_)) && error.to_string().contains("cannot be read"), "{error}");
    assert!(made.cache.is_file(), "its view went");
    node.overlay_dirs = vec![node.vm("")];
    watch.expect("was damaged");
    node.start_volume().await.unwrap();
    assert_eq!(node.volume().state().leases[0].overlay.path, made.path);
    assert!(made.cache.is_file() && record.is_file() && record.with_extension("damaged").is_file());
    node.stop().await;
}

#[tokio::test]
async fn dry_run_counts_found_overlays_and_writes_no_record() {
    let _watch = fail_on_warnings();
    let (mut node, registrar, first) = filled().await;
    node.volume().create_overlay(alpine(), node.vm("a.qcow2")).await.unwrap();
    let second = registrar.publish(&[]).await;
    node.in_step_at(&second.name).await;
    std::fs::copy(node.vm("a.qcow2"), node.vm("copy.qcow2")).unwrap();
    node.volume().collect(Duration::ZERO, true).await.unwrap();
    assert_eq!(leases(&node), 1);
    std::fs::remove_file(node.vm("a.qcow2")).unwrap();
    let report = node.volume().collect(Duration::ZERO, true).await.unwrap();
    assert_eq!((report.overlays_released.len(), report.views), (1, Vec::new()));
    assert!(report.snapshots.iter().any(|fate| fate.keep && fate.name == first.name));
    node.stop().await;
}

#[tokio::test]
async fn directory_that_cannot_be_looked_through_spares_views_without_a_record() {
    let mut watch = fail_on_warnings();
    watch.expect("cannot look for overlays in");
    let (mut node, _registrar, first) = filled().await;
    node.stop().await;
    let (layout, zfs) = (node.layout(), node.zfs.clone());
    let (view, at) = (layout.view(&first.name).unwrap(), layout.mountpoint(&first.name));
    zfs.clone_snapshot(&layout.volume, &first.name, &view, &at).await.unwrap();
    std::fs::write(node.vm("no-directory"), "").unwrap();
    node.overlay_dirs = vec![node.vm("no-directory")];
    node.start_volume().await.unwrap();
    let report = node.volume().collect(Duration::ZERO, false).await.unwrap();
    assert!(report.views[0].keep && report.views[0].reason.contains("could not be seen"), "{report:?}");
    assert_eq!(node.views().await, [view]);
    std::fs::remove_file(node.vm("no-directory")).unwrap();
    assert!(!node.volume().collect(Duration::ZERO, false).await.unwrap().views[0].keep);
    assert_eq!(node.views().await, []);
    node.stop().await;
}
