mod adopt;
mod bases;
mod beside_receive;
mod callers;
mod groups;
mod leaked;
mod missing;
mod pins;
mod reconcile;
mod views;

use super::{CreateOverlayError, OverlaySpec, RemoveOverlayError};
use crate::testing::{Node, StubRegistrar};
use bootstash_base::error::{Classified, ErrorClass};
use bootstash_base::impersonate::UnixPeer;
use bootstash_base::names::ImageName;
use bootstash_base::testing::fail_on_warnings;
use bootstash_disk::qcow2::read_backing;
use bootstash_net::api::OverlayOutcome;
use bootstash_zfs::fake::Verb;
use bootstash_zfs::{NewDataset, Removed, Role, Snapshot, Zfs};
use std::path::Path;
use std::time::Duration;

/// A node that holds alpine and debian12, and the registrar it has them from.
async fn filled() -> (Node, StubRegistrar, Snapshot) {
    let mut node = Node::new();
    let mut registrar = StubRegistrar::new(node.dir.path()).await;
    registrar.start_serving().await;
    let first = registrar.publish(&["alpine", "debian12"]).await;
    registrar.offer_full(0).await;
    node.start(registrar.address()).await;
    node.in_step_at(&first.name).await;
    (node, registrar, first)
}

fn alpine() -> ImageName {
    "alpine".parse().unwrap()
}

fn leases(node: &Node) -> usize {
    std::fs::read_dir(node.layout().leases_dir).unwrap().count()
}

#[tokio::test]
async fn overlays_share_a_view_which_goes_with_the_last() {
    let _watch = fail_on_warnings();
    let (mut node, _registrar, first) = filled().await;
    let made = node.volume().create_overlay(alpine(), node.vm("a.qcow2")).await.unwrap();
    assert_eq!(made.snapshot, first.name);
    assert_eq!(made.virtual_size_bytes, 70_144);
    assert!(made.cache.is_file(), "the cache is there while the overlay is");
    assert_eq!(read_backing(&node.vm("a.qcow2")).unwrap().unwrap().backing, made.cache);
    let debian = "debian12".parse().unwrap();
    node.volume().create_overlay(debian, node.vm("b.qcow2")).await.unwrap();
    assert_eq!((node.views().await.len(), node.volume().state().leases.len()), (1, 2));
    assert_eq!(node.volume().remove_overlay(node.vm("a.qcow2")).await.unwrap(), Removed::Removed);
    assert_eq!(node.views().await.len(), 1);
    assert_eq!(node.volume().remove_overlay(node.vm("b.qcow2")).await.unwrap(), Removed::Removed);
    assert_eq!(node.volume().remove_overlay(node.vm("b.qcow2")).await.unwrap(), Removed::Unchanged);
    assert!(node.views().await.is_empty() && leases(&node) == 0 && !node.vm("b.qcow2").exists());
    node.stop().await;
}

#[tokio::test]
async fn overlay_stays_on_its_snapshot_when_a_newer_one_comes() {
    let _watch = fail_on_warnings();
    let (mut node, registrar, first) = filled().await;
    let old = node.volume().create_overlay(alpine(), node.vm("a.qcow2")).await.unwrap();
    let second = registrar.publish(&["debian12-nginx"]).await;
    node.in_step_at(&second.name).await;
    let new = node.volume().create_overlay(alpine(), node.vm("b.qcow2")).await.unwrap();
    assert_eq!((old.snapshot, new.snapshot), (first.name, second.name));
    assert!(old.cache.is_file() && new.cache.is_file());
    node.stop().await;
}

#[tokio::test]
async fn the_same_overlay_asked_for_again_stays_as_it_is() {
    let _watch = fail_on_warnings();
    let (mut node, registrar, _) = filled().await;
    let (by, path) = (UnixPeer::ourselves(), node.vm("a.qcow2"));
    let spec = |image: &str, size_bytes| OverlaySpec {
        image: image.parse().unwrap(),
        path: path.clone(),
        size_bytes,
        owner: None,
    };
    let made = node.volume().create_overlay_for(by, spec("alpine", Some(1 << 20))).await.unwrap();
    assert_eq!((made.outcome, made.overlay.virtual_size_bytes), (OverlayOutcome::Created, 1 << 20));
    let second = registrar.publish(&["debian12-nginx"]).await;
    node.in_step_at(&second.name).await;
    for size_bytes in [None, Some(1 << 20)] {
        let again = node.volume().create_overlay_for(by, spec("alpine", size_bytes)).await.unwrap();
        assert_eq!((again.outcome, &again.overlay), (OverlayOutcome::Unchanged, &made.overlay));
    }
    for other in [spec("alpine", Some(1 << 21)), spec("debian12", None)] {
        let error = node.volume().create_overlay_for(by, other).await.unwrap_err();
        assert!(matches!(error, CreateOverlayError::Exists { .. }), "{error}");
    }
    std::fs::remove_file(&path).unwrap();
    let error = node.volume().create_overlay_for(by, spec("alpine", Some(70_000))).await.unwrap_err();
    assert!(error.to_string().contains("70000 bytes would cut off the end of alpine"), "{error}");
    node.stop().await;
}

#[tokio::test]
async fn refusals_leave_nothing_behind() {
    let _watch = fail_on_warnings();
    let (mut node, _registrar, _) = filled().await;
    std::fs::write(node.vm("precious"), "data").unwrap();
    let unknown: ImageName = "nosuch".parse().unwrap();
    let (vms, absent) = (node.vm(""), node.vm("nosuch/a.qcow2"));
    for (image, path, part) in [
        (alpine(), node.vm("precious"), "exists"),
        (alpine(), vms, "exists"),
        (alpine(), absent, "does not exist; create it"),
        (alpine(), "a.qcow2".into(), "absolute"),
        (alpine(), node.vm("forbidden.qcow2"), "cannot create"),
        (unknown, node.vm("b.qcow2"), "nosuch"),
    ] {
        let error = node.volume().create_overlay(image, path.clone()).await.unwrap_err();
        assert!(error.to_string().contains(part), "{}: {error}", path.display());
    }
    assert_eq!(std::fs::read(node.vm("precious")).unwrap(), b"data");
    assert_eq!((node.views().await.len(), leases(&node)), (0, 0));
    node.stop().await;
}

#[tokio::test]
async fn changed_or_missing_base_is_refused_with_a_remedy() {
    let _watch = fail_on_warnings();
    let (mut node, registrar, _) = filled().await;
    let base = registrar.base_of("alpine");
    std::fs::write(&base, vec![1; 70_001]).unwrap();
    let error = node.volume().create_overlay(alpine(), node.vm("a.qcow2")).await.unwrap_err();
    let text = error.to_string();
    for part in ["alpine", base.to_str().unwrap(), "70000", "70001", "register it again"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    std::fs::remove_file(&base).unwrap();
    let error = node.volume().create_overlay(alpine(), node.vm("a.qcow2")).await.unwrap_err();
    assert!(matches!(error, CreateOverlayError::Base { .. }), "{error}");
    assert_eq!((node.views().await.len(), leases(&node)), (0, 0));
    node.stop().await;
}

#[tokio::test]
async fn foreign_files_and_overlays_in_use_are_not_removed() {
    let _watch = fail_on_warnings();
    let (mut node, _registrar, _) = filled().await;
    std::fs::write(node.vm("precious"), "data").unwrap();
    let error = node.volume().remove_overlay(node.vm("precious")).await.unwrap_err();
    assert!(matches!(error, RemoveOverlayError::Foreign { .. }), "{error}");
    node.volume().create_overlay(alpine(), node.vm("a.qcow2")).await.unwrap();
    let qemu = lock_as_qemu(&node.vm("a.qcow2"));
    let error = node.volume().remove_overlay(node.vm("a.qcow2")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorClass::Busy);
    drop(qemu);
    node.volume().remove_overlay(node.vm("a.qcow2")).await.unwrap();
    assert!(node.vm("precious").exists());
    node.stop().await;
}

fn lock_as_qemu(path: &Path) -> std::fs::File {
    use nix::fcntl::{FcntlArg, fcntl};
    use nix::libc;
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let lock = libc::flock {
        l_type: libc::F_RDLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 101,
        l_len: 1,
        l_pid: 0,
    };
    fcntl(&file, FcntlArg::F_OFD_SETLK(&lock)).unwrap();
    file
}

#[tokio::test]
async fn restart_keeps_overlays_mounts_their_views_and_drops_the_others() {
    let _watch = fail_on_warnings();
    let (mut node, registrar, first) = filled().await;
    let made = node.volume().create_overlay(alpine(), node.vm("a.qcow2")).await.unwrap();
    let second = registrar.publish(&["debian12-nginx"]).await;
    node.in_step_at(&second.name).await;
    node.stop().await;
    let layout = node.layout();
    // As after a reboot: nothing is mounted, and a crash left a view that nobody uses.
    let stray = layout.view(&second.name).unwrap();
    let at = layout.mountpoint(&second.name);
    node.zfs.clone_snapshot(&layout.volume, &second.name, &stray, &at).await.unwrap();
    let used = layout.view(&first.name).unwrap();
    let unmounted = NewDataset { role: Role::View, mountpoint: None, properties: Vec::new() };
    node.zfs.create(&used, &unmounted).await.unwrap();
    assert!(!made.cache.exists());
    node.start_volume().await.unwrap();
    assert!(made.cache.is_file());
    assert_eq!(node.views().await, [used]);
    assert_eq!(node.volume().state().overlays().collect::<Vec<_>>(), [&made]);
    assert_eq!(node.volume().state().images.len(), 3);
    node.stop().await;
}

#[tokio::test]
async fn view_that_does_not_mount_is_told_and_keeps_nobody_from_starting() {
    let mut watch = fail_on_warnings();
    watch.expect("cannot mount view bs-000001");
    let (mut node, _registrar, _) = filled().await;
    node.volume().create_overlay(alpine(), node.vm("a.qcow2")).await.unwrap();
    node.stop().await;
    node.zfs.fail_next(Verb::Clone, "cannot mount");
    node.start_volume().await.unwrap();
    assert_eq!(node.volume().state().leases.len(), 1);
    node.stop().await;
}

#[tokio::test]
async fn collection_keeps_what_overlays_need_and_says_first_what_it_would_do() {
    let _watch = fail_on_warnings();
    let (mut node, registrar, first) = filled().await;
    node.volume().create_overlay(alpine(), node.vm("a.qcow2")).await.unwrap();
    let second = registrar.publish(&[]).await;
    node.in_step_at(&second.name).await;
    let third = registrar.publish(&[]).await;
    node.in_step_at(&third.name).await;
    let would = node.volume().collect(Duration::ZERO, true).await.unwrap();
    assert_eq!(node.volume().state().snapshots.len(), 3);
    let did = node.volume().collect(Duration::ZERO, false).await.unwrap();
    assert_eq!(would.snapshots, did.snapshots);
    let kept: Vec<_> = node.volume().state().snapshots.into_iter().map(|snapshot| snapshot.name).collect();
    assert_eq!(kept, [first.name.clone(), third.name.clone()]);
    node.volume().remove_overlay(node.vm("a.qcow2")).await.unwrap();
    assert_eq!(node.volume().collect(Duration::from_secs(3600), false).await.unwrap().snapshots.len(), 2);
    node.volume().collect(Duration::ZERO, false).await.unwrap();
    assert_eq!(node.volume().state().snapshots.len(), 1);
    let fourth = registrar.publish(&["debian12-nginx"]).await;
    node.in_step_at(&fourth.name).await;
    node.stop().await;
}

#[tokio::test]
async fn view_that_is_busy_stays_and_goes_with_the_next_collection() {
    let _watch = fail_on_warnings();
    let (mut node, _registrar, _) = filled().await;
    node.volume().create_overlay(alpine(), node.vm("a.qcow2")).await.unwrap();
    node.zfs.fail_next(Verb::Destroy, "dataset is busy");
    node.volume().remove_overlay(node.vm("a.qcow2")).await.unwrap();
    assert_eq!(node.views().await.len(), 1);
    let report = node.volume().collect(Duration::from_secs(3600), false).await.unwrap();
    assert_eq!(report.views.len(), 1);
    assert!(node.views().await.is_empty());
    node.stop().await;
}

#[tokio::test]
async fn node_without_a_snapshot_says_so_at_once() {
    let _watch = fail_on_warnings();
    let mut node = Node::new();
    node.start_volume().await.unwrap();
    let error = node.volume().create_overlay(alpine(), node.vm("a.qcow2")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorClass::Transient);
    node.stop().await;
}

/// As after a restart of zfs-fuse, which has mounted nothing.
#[tokio::test]
async fn a_view_that_is_not_mounted_any_more_is_mounted_again_unasked() {
    let mut watch = fail_on_warnings();
    watch.expect("mounted view");
    let (mut node, _registrar, first) = filled().await;
    let made = node.volume().create_overlay(alpine(), node.vm("a.qcow2")).await.unwrap();
    let before = std::fs::read(&made.cache).unwrap();
    node.zfs.unmount(&node.layout().view(&first.name).unwrap());
    assert!(!made.cache.exists());
    tokio::time::timeout(Duration::from_secs(30), async {
        while !made.cache.exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    assert_eq!(std::fs::read(&made.cache).unwrap(), before);
    node.stop().await;
}

/// As it is left where the view was destroyed and the folder not yet removed.
#[tokio::test]
async fn a_folder_whose_view_is_gone_goes_with_the_next_collection() {
    let _watch = fail_on_warnings();
    let (mut node, _registrar, _) = filled().await;
    let overlay = node.volume().create_overlay(alpine(), node.vm("a.qcow2")).await.unwrap();
    let (empty, full) = (node.layout().views_dir.join("gone"), node.layout().views_dir.join("not-ours"));
    std::fs::create_dir(&empty).unwrap();
    std::fs::create_dir(&full).unwrap();
    std::fs::write(full.join("file"), "").unwrap();
    node.volume().collect(Duration::ZERO, false).await.unwrap();
    assert!(!empty.exists() && full.join("file").exists() && overlay.cache.exists());
    node.stop().await;
}

#[tokio::test]
async fn somebody_elses_file_system_among_the_views_is_left_alone_and_stops_no_collection() {
    let _watch = fail_on_warnings();
    let mut node = Node::new();
    let foreign = node.layout().view(&"bs-000002-20200101T000000Z".parse().unwrap()).unwrap();
    node.zfs.insert_foreign(&foreign);
    node.start_volume().await.unwrap();
    let collected = node.volume().collect(Duration::ZERO, false).await.unwrap();
    assert!(collected.views.is_empty() && node.volume().state().views.is_empty());
    assert!(node.zfs.dataset(&foreign).await.unwrap().is_some());
    node.stop().await;
}
