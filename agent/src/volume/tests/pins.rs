//! Disks that others made: the boot cache that is held for them, and when it is let go.

use super::{alpine, filled, leases};
use crate::testing::write_overlay;
use crate::volume::PinError;
use bootstash_base::impersonate::UnixPeer;
use bootstash_base::names::SnapshotName;
use bootstash_base::testing::fail_on_warnings;
use bootstash_delta::catalog::cache_path;
use bootstash_net::api::OverlayOutcome;
use bootstash_zfs::Removed;
use std::path::Path;
use std::time::Duration;

fn us() -> UnixPeer {
    UnixPeer::ourselves()
}

/// As `qemu-img rebase -u` leaves it.
fn rebase(path: &Path, backing: &Path) {
    std::fs::remove_file(path).unwrap();
    write_overlay(path, backing, 70_144).unwrap();
}

#[tokio::test]
async fn a_disk_of_others_holds_its_cache_from_pin_to_unpin() {
    let _watch = fail_on_warnings();
    let (mut node, registrar, first) = filled().await;
    let (low, top, base) = (node.vm("low.qcow2"), node.vm("top.qcow2"), registrar.base_of("alpine"));
    write_overlay(&low, &base, 70_144).unwrap();
    write_overlay(&top, &low, 70_144).unwrap();
    let pinned = node.volume().pin(us(), top.clone()).await.unwrap();
    let overlay = &pinned.overlay;
    assert_eq!((&overlay.path, &overlay.image, &overlay.snapshot), (&low, &alpine(), &first.name));
    assert_eq!((pinned.outcome, pinned.chained), (OverlayOutcome::Created, false));
    assert!(overlay.cache.is_file());
    // Not chained yet: a collection in between takes it for a disk that is about to be.
    node.volume().collect(Duration::from_secs(3600), false).await.unwrap();
    assert!(overlay.cache.is_file() && leases(&node) == 1);
    rebase(&low, &overlay.cache);
    let second = registrar.publish(&["fedora"]).await;
    node.in_step_at(&second.name).await;
    let again = node.volume().pin(us(), low.clone()).await.unwrap();
    assert_eq!((&again.overlay, again.outcome, again.chained), (overlay, OverlayOutcome::Unchanged, true));
    let listed = node.volume().overlays().await;
    assert!(listed.len() == 1 && listed[0].pinned);
    let error = node.volume().unpin(us(), top.clone()).await.unwrap_err();
    assert!(error.to_string().contains(&format!("rebase -u -b '{}'", base.display())), "{error}");
    node.volume().collect(Duration::ZERO, false).await.unwrap();
    assert!(overlay.cache.is_file());
    rebase(&low, &base);
    assert_eq!(node.volume().unpin(us(), top.clone()).await.unwrap(), Removed::Removed);
    assert_eq!(node.volume().unpin(us(), top).await.unwrap(), Removed::Unchanged);
    assert_eq!((leases(&node), node.views().await.len()), (0, 0));
    node.stop().await;
}

#[tokio::test]
async fn a_pin_that_was_never_undone_goes_as_an_overlay_does() {
    let _watch = fail_on_warnings();
    let (mut node, registrar, _) = filled().await;
    let path = node.vm("a.qcow2");
    write_overlay(&path, &registrar.base_of("alpine"), 70_144).unwrap();
    node.volume().pin(us(), path.clone()).await.unwrap();
    node.stop().await;
    node.start_volume().await.unwrap();
    assert_eq!((leases(&node), node.views().await.len()), (1, 1), "a restart lets nothing go");
    let report = node.volume().collect(Duration::ZERO, false).await.unwrap();
    assert_eq!(report.overlays_released[0].path, path);
    assert_eq!((leases(&node), node.views().await.len()), (0, 0));
    node.stop().await;
}

#[tokio::test]
async fn a_disk_whose_cache_was_collected_gets_that_of_the_same_registration() {
    let _watch = fail_on_warnings();
    let (mut node, registrar, _) = filled().await;
    // Of a snapshot that was taken after the image was registered, and one that may have had another image.
    let after = SnapshotName::new(1, chrono::Utc::now() + chrono::TimeDelta::seconds(2));
    let before = SnapshotName::new(1, chrono::DateTime::UNIX_EPOCH);
    let second = registrar.publish(&["fedora"]).await;
    node.in_step_at(&second.name).await;
    let cache = |snapshot| cache_path(&node.layout().mountpoint(snapshot), &alpine());
    write_overlay(&node.vm("moved"), &cache(&after), 70_144).unwrap();
    write_overlay(&node.vm("old"), &cache(&before), 70_144).unwrap();
    let pinned = node.volume().pin(us(), node.vm("moved")).await.unwrap();
    assert_eq!((&pinned.overlay.snapshot, pinned.chained), (&second.name, false));
    let error = node.volume().pin(us(), node.vm("old")).await.unwrap_err();
    assert!(matches!(error, PinError::Outdated { .. }), "{error}");
    assert!(error.to_string().contains("registered anew since"), "{error}");
    node.stop().await;
}

#[tokio::test]
async fn what_cannot_be_held_says_why_and_leaves_nothing() {
    let _watch = fail_on_warnings();
    let (mut node, registrar, _) = filled().await;
    std::fs::write(node.vm("raw"), "data").unwrap();
    write_overlay(&node.vm("foreign"), Path::new("/srv/other.raw"), 70_144).unwrap();
    write_overlay(&node.vm("changed"), &registrar.base_of("alpine"), 70_144).unwrap();
    std::fs::write(registrar.base_of("alpine"), vec![1; 70_001]).unwrap();
    for (name, part) in [
        ("absent", "there is no file"),
        ("raw", "no qcow2 file that is chained onto another"),
        ("foreign", "ends in /srv/other.raw, which is the file of no image"),
        ("changed", "was changed since alpine was registered"),
    ] {
        let error = node.volume().pin(us(), node.vm(name)).await.unwrap_err();
        assert!(error.to_string().contains(part), "{name}: {error}");
    }
    assert_eq!((leases(&node), node.views().await.len()), (0, 0));
    node.stop().await;
}

#[tokio::test]
async fn an_overlay_of_ours_is_no_pin() {
    let _watch = fail_on_warnings();
    let (mut node, _registrar, _) = filled().await;
    let made = node.volume().create_overlay(alpine(), node.vm("a.qcow2")).await.unwrap();
    let pinned = node.volume().pin(us(), made.path.clone()).await.unwrap();
    assert_eq!((pinned.outcome, pinned.chained), (OverlayOutcome::Unchanged, true));
    assert!(!node.volume().overlays().await[0].pinned);
    let error = node.volume().unpin(us(), made.path).await.unwrap_err();
    assert!(error.to_string().contains("overlay remove"), "{error}");
    node.stop().await;
}
