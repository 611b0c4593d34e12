//! Overlays that are asked for at the same time.

use super::{alpine, filled, leases};
use crate::volume::OverlaySpec;
use bootstash_base::impersonate::UnixPeer;
use bootstash_base::testing::fail_on_warnings;
use bootstash_net::api::OverlayOutcome;
use bootstash_zfs::Removed;
use futures::future::join_all;
use std::path::PathBuf;

fn spec(image: &str, path: PathBuf) -> OverlaySpec {
    OverlaySpec { image: image.parse().unwrap(), path, size_bytes: None, owner: None }
}

#[tokio::test]
async fn each_of_many_gets_its_own_answer() {
    let _watch = fail_on_warnings();
    let (mut node, _registrar, _) = filled().await;
    let volume = node.volume();
    let asked = (0..40).map(|number| {
        let (image, name) = match number % 4 {
            0 => ("alpine", format!("{number}.qcow2")),
            1 => ("debian12", format!("{number}.qcow2")),
            2 => ("nosuch", format!("{number}.qcow2")),
            _ => ("alpine", format!("forbidden-{number}")),
        };
        volume.create_overlay_for(UnixPeer::ourselves(), spec(image, node.vm(&name)))
    });
    let answers = join_all(asked).await;
    for (number, answer) in answers.iter().enumerate() {
        match number % 4 {
            0 | 1 => assert_eq!(answer.as_ref().unwrap().overlay.path, node.vm(&format!("{number}.qcow2"))),
            2 => assert!(answer.as_ref().unwrap_err().to_string().contains("nosuch")),
            _ => assert!(answer.as_ref().unwrap_err().to_string().contains("cannot create")),
        }
    }
    assert_eq!((leases(&node), volume.state().leases.len(), node.views().await.len()), (20, 20, 1));
    let paths = answers.into_iter().filter_map(Result::ok).map(|reply| reply.overlay.path);
    for removed in join_all(paths.map(|path| volume.remove_overlay(path))).await {
        assert_eq!(removed.unwrap(), Removed::Removed);
    }
    assert_eq!((leases(&node), volume.state().leases.len(), node.views().await.len()), (0, 0, 0));
    node.stop().await;
}

#[tokio::test]
async fn one_path_is_one_overlay_however_it_is_spelled() {
    let _watch = fail_on_warnings();
    let (mut node, _registrar, _) = filled().await;
    let link = node.dir.path().join("link");
    std::os::unix::fs::symlink(node.vm(""), &link).unwrap();
    let volume = node.volume();
    let paths = [node.vm("a.qcow2"), link.join("a.qcow2"), node.vm("b.qcow2"), node.vm("a.qcow2")];
    let asked =
        paths.clone().map(|path| volume.create_overlay_for(UnixPeer::ourselves(), spec("alpine", path)));
    let outcomes: Vec<_> = join_all(asked).await.into_iter().map(|answer| answer.unwrap().outcome).collect();
    use OverlayOutcome::{Created, Unchanged};
    assert_eq!(outcomes, [Created, Unchanged, Created, Unchanged]);
    assert_eq!(leases(&node), 2);
    let removed = join_all(paths.map(|path| volume.remove_overlay(path))).await;
    let removed: Vec<_> = removed.into_iter().map(Result::unwrap).collect();
    assert_eq!(removed, [Removed::Removed, Removed::Unchanged, Removed::Removed, Removed::Unchanged]);
    assert_eq!((leases(&node), node.views().await.len()), (0, 0));
    let again = volume.create_overlay(alpine(), node.vm("a.qcow2")).await.unwrap();
    assert!(again.cache.is_file());
    node.stop().await;
}
