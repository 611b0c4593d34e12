//! Overlays asked for by who is not root: what the kernel lets that user do, and no more.

use super::{alpine, filled, leases, lock_as_qemu};
use crate::testing::Node;
use crate::volume::{CreateOverlayError, OverlaySpec, RemoveOverlayError};
use bootstash_base::file_owner::FileOwner;
use bootstash_base::impersonate::UnixPeer;
use bootstash_base::testing::fail_on_warnings;
use bootstash_zfs::Removed;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

const ALICE: u32 = 54321;

fn alice() -> UnixPeer {
    UnixPeer::numbered(ALICE, ALICE)
}

fn at(path: PathBuf) -> OverlaySpec {
    OverlaySpec { image: alpine(), path, size_bytes: None, owner: None }
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Two directories on a node, which anybody can pass through to: alice's, and root's.
fn directories(node: &Node) -> (PathBuf, PathBuf) {
    mode(node.dir.path(), 0o755);
    let (hers, ours) = (node.vm("alice"), node.vm("root"));
    for directory in [&hers, &ours] {
        fs::create_dir(directory).unwrap();
    }
    std::os::unix::fs::chown(&hers, Some(ALICE), Some(ALICE)).unwrap();
    (hers, ours)
}

#[tokio::test]
async fn a_user_makes_and_removes_overlays_of_the_users_own() {
    if !is_root() {
        return;
    }
    let _watch = fail_on_warnings();
    let (mut node, _registrar, _) = filled().await;
    let path = directories(&node).0.join("a.qcow2");
    node.volume().create_overlay_for(alice(), at(path.clone())).await.unwrap();
    let made = fs::metadata(&path).unwrap();
    assert_eq!((made.uid(), made.gid()), (ALICE, ALICE));
    let running = lock_as_qemu(&path);
    mode(&path, 0o000);
    let error = node.volume().remove_overlay_for(alice(), path.clone()).await.unwrap_err();
    assert!(matches!(error, RemoveOverlayError::InUse { .. }), "{error}");
    drop(running);
    assert_eq!(node.volume().remove_overlay_for(alice(), path.clone()).await.unwrap(), Removed::Removed);
    assert!(!path.exists() && node.views().await.is_empty() && leases(&node) == 0);
    node.stop().await;
}

#[tokio::test]
async fn a_user_makes_nothing_where_that_user_may_not() {
    if !is_root() {
        return;
    }
    let _watch = fail_on_warnings();
    let (mut node, _registrar, _) = filled().await;
    let (hers, ours) = directories(&node);
    symlink(&ours, hers.join("link")).unwrap();
    symlink(ours.join("through"), hers.join("dangling.qcow2")).unwrap();
    for path in [ours.join("a.qcow2"), hers.join("link/a.qcow2")] {
        let error = node.volume().create_overlay_for(alice(), at(path)).await.unwrap_err();
        assert!(matches!(error, CreateOverlayError::NotAllowed { .. }), "{error}");
        assert!(error.to_string().contains("user 54321 may not make"), "{error}");
    }
    let dangling = hers.join("dangling.qcow2");
    let error = node.volume().create_overlay_for(alice(), at(dangling)).await.unwrap_err();
    assert!(matches!(error, CreateOverlayError::Exists { .. }), "{error}");
    assert_eq!(fs::read_dir(&ours).unwrap().count(), 0);
    assert_eq!((node.views().await.len(), leases(&node)), (0, 0), "something was left");
    node.stop().await;
}

#[tokio::test]
async fn only_root_gives_overlays_away() {
    if !is_root() {
        return;
    }
    let _watch = fail_on_warnings();
    let (mut node, _registrar, _) = filled().await;
    let path = directories(&node).0.join("a.qcow2");
    let to_others = OverlaySpec { owner: Some(FileOwner { uid: 64055, gid: 64055 }), ..at(path.clone()) };
    let error = node.volume().create_overlay_for(alice(), to_others).await.unwrap_err();
    assert!(matches!(error, CreateOverlayError::Owner { .. }), "{error}");
    assert!(error.to_string().contains("ask as root") && !path.exists(), "{error}");
    node.stop().await;
}

#[tokio::test]
async fn what_a_user_cannot_see_is_not_told() {
    if !is_root() {
        return;
    }
    let _watch = fail_on_warnings();
    let (mut node, _registrar, _) = filled().await;
    let (_, ours) = directories(&node);
    fs::write(ours.join("secret"), "x").unwrap();
    mode(&ours, 0o700);
    let mut told = Vec::new();
    for name in ["secret", "absent"] {
        let made = node.volume().create_overlay_for(alice(), at(ours.join(name))).await;
        let removed = node.volume().remove_overlay_for(alice(), ours.join(name)).await;
        told.push(format!("{} {removed:?}", made.unwrap_err()).replace(name, "it"));
    }
    assert_eq!(told[0], told[1]);
    node.stop().await;
}

#[tokio::test]
async fn a_user_removes_nothing_of_others() {
    if !is_root() {
        return;
    }
    let _watch = fail_on_warnings();
    let (mut node, _registrar, _) = filled().await;
    let path = directories(&node).1.join("a.qcow2");
    node.volume().create_overlay(alpine(), path.clone()).await.unwrap();
    let refused = async |why: &str| {
        let error = node.volume().remove_overlay_for(alice(), path.clone()).await.unwrap_err();
        assert!(matches!(error, RemoveOverlayError::NotAllowed { .. }), "{why}: {error}");
        assert_eq!((node.views().await.len(), leases(&node)), (1, 1), "{why}");
    };
    refused("its directory is not hers").await;
    assert!(path.exists());
    // It may have been moved, and run from there.
    fs::rename(&path, path.with_extension("moved")).unwrap();
    refused("its file is gone").await;
    node.stop().await;
}
