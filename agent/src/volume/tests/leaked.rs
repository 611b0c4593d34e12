//! Views that nobody needs.

use super::{alpine, filled};
use bootstash_base::testing::fail_on_warnings;
use bootstash_zfs::Zfs;
use std::time::Duration;

const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

#[tokio::test]
async fn leaked_view_is_named_by_a_dry_run_and_goes_with_a_collection() {
    let _watch = fail_on_warnings();
    let (mut node, _registrar, first) = filled().await;
    node.stop().await;
    let layout = node.layout();
    let (view, at) = (layout.view(&first.name).unwrap(), layout.mountpoint(&first.name));
    node.zfs.set_busy(&view, true);
    node.zfs.clone_snapshot(&layout.volume, &first.name, &view, &at).await.unwrap();
    node.start_volume().await.unwrap();
    node.zfs.set_busy(&view, false);
    let would = node.volume().collect(WEEK, true).await.unwrap();
    assert_eq!(node.views().await.len(), 1);
    let did = node.volume().collect(WEEK, false).await.unwrap();
    assert_eq!(would.views, did.views);
    assert!(!did.views[0].keep && did.views[0].reason == "no overlay needs it");
    assert!(node.views().await.is_empty());
    assert_eq!(node.volume().collect(WEEK, false).await.unwrap().views, []);
    node.stop().await;
}

/// A QEMU that runs from a deleted overlay.
#[tokio::test]
async fn view_in_use_outlives_its_record_and_fails_no_collection() {
    let _watch = fail_on_warnings();
    let (mut node, registrar, first) = filled().await;
    let made = node.volume().create_overlay(alpine(), node.vm("a.qcow2")).await.unwrap();
    let view = node.layout().view(&first.name).unwrap();
    node.zfs.set_busy(&view, true);
    std::fs::remove_file(node.vm("a.qcow2")).unwrap();
    let second = registrar.publish(&[]).await;
    node.in_step_at(&second.name).await;
    let third = registrar.publish(&[]).await;
    node.in_step_at(&third.name).await;
    for released in [1, 0] {
        let report = node.volume().collect(Duration::ZERO, false).await.unwrap();
        assert_eq!(report.overlays_released.len(), released);
        assert!(report.views[0].keep && report.views[0].reason.contains("in use"), "{report:?}");
        assert!(report.snapshots[0].keep && made.cache.is_file(), "{report:?}");
    }
    node.zfs.set_busy(&view, false);
    assert!(!node.volume().collect(Duration::ZERO, false).await.unwrap().views[0].keep);
    let left: Vec<_> = node.volume().state().snapshots.into_iter().map(|it| it.name).collect();
    assert_eq!(left, [third.name]);
    node.stop().await;
}
