//! Bases that change after overlays were made of them.

use super::{alpine, filled};
use crate::testing::{Node, soon};
use crate::volume::VolumeHandle;
use bootstash_base::testing::fail_on_warnings;
use bootstash_net::api::{BaseState, OverlayState};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

async fn base_state(volume: &VolumeHandle, path: &Path) -> Option<BaseState> {
    let overlays = volume.overlays().await;
    let status = overlays.into_iter().find(|status| status.overlay.path == path)?;
    status.base.map(|base| base.state)
}

/// Looks at once, and not half a minute later: making an overlay brings a look with it.
async fn look_again(node: &Node) {
    node.volume().create_overlay("debian12".parse().unwrap(), node.vm("look.qcow2")).await.unwrap();
    node.volume().remove_overlay(node.vm("look.qcow2")).await.unwrap();
}

async fn until_state(node: &Node, path: &Path, wanted: impl Fn(&BaseState) -> bool) {
    soon(async {
        loop {
            look_again(node).await;
            if base_state(&node.volume(), path).await.as_ref().is_some_and(&wanted) {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_base_that_is_written_replaced_cut_or_gone_is_seen_under_its_overlays() {
    let mut watch = fail_on_warnings();
    watch.expect("changed after overlays were made of it");
    let (mut node, registrar, _) = filled().await;
    let (base, path) = (registrar.base_of("alpine"), node.vm("a.qcow2"));
    node.volume().create_overlay(alpine(), path.clone()).await.unwrap();
    until_state(&node, &path, |state| *state == BaseState::AsRegistered).await;
    assert_eq!(node.volume().changed_bases(), []);
    let kept = base.with_extension("kept");
    std::fs::rename(&base, &kept).unwrap();
    type Change = fn(&Path, &Path);
    let changes: [(&str, Change); 5] = [
        ("gone", |_, _| ()),
        ("bytes long", |base, _| std::fs::write(base, "short").unwrap()),
        ("content", |base, kept| replace(base, kept)),
        ("content", |base, kept| {
            replace(&base.with_extension("other"), kept);
            std::os::unix::fs::symlink(base.with_extension("other"), base).unwrap();
        }),
        ("bytes long", |base, kept| {
            std::fs::copy(kept, base).unwrap();
            File::options().write(true).open(base).unwrap().set_len(4096).unwrap();
        }),
    ];
    for (why, change) in changes {
        change(&base, &kept);
        until_state(
            &node,
            &path,
            |state| matches!(state, BaseState::Changed { change } if change.contains(why)),
        )
        .await;
        let [changed] = &node.volume().changed_bases()[..] else { panic!("{why}") };
        assert_eq!((&changed.path, &changed.overlays), (&base, &vec![path.clone()]));
        std::fs::remove_file(&base).ok();
        std::fs::hard_link(&kept, &base).unwrap();
        until_state(&node, &path, |state| *state == BaseState::AsRegistered).await;
        std::fs::remove_file(&base).unwrap();
    }
    node.stop().await;
}

/// Other bytes, of the same size and time.
fn replace(base: &Path, kept: &Path) {
    let metadata = std::fs::metadata(kept).unwrap();
    std::fs::write(base, vec![9; metadata.len() as usize]).unwrap();
    File::options().write(true).open(base).unwrap().set_modified(metadata.modified().unwrap()).unwrap();
}

#[tokio::test]
async fn what_a_commit_writes_into_a_base_is_seen_at_once_and_told_once() {
    let mut watch = fail_on_warnings();
    watch.expect("changed after overlays were made of it");
    let (mut node, registrar, _) = filled().await;
    let (base, path) = (registrar.base_of("alpine"), node.vm("a.qcow2"));
    node.volume().create_overlay(alpine(), path.clone()).await.unwrap();
    until_state(&node, &path, |state| *state == BaseState::AsRegistered).await;
    let file = File::options().write(true).open(&base).unwrap();
    file.write_all_at(b"x", 3).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(3)).unwrap();
    for _ in 0..3 {
        until_state(&node, &path, |state| matches!(state, BaseState::Changed { .. })).await;
    }
    let told = watch.lines();
    assert_eq!(told.len(), 1, "{told:?}");
    for part in [base.to_str().unwrap(), path.to_str().unwrap(), "alpine", "written to", "put the file back"]
    {
        assert!(told[0].contains(part), "{part}: {}", told[0]);
    }
    let [status] = &node.volume().overlays().await[..] else { panic!("one overlay") };
    assert_eq!((status.state, status.base.as_ref().unwrap().path.as_path()), (OverlayState::Stopped, &*base));
    let error = node.volume().create_overlay(alpine(), node.vm("b.qcow2")).await.unwrap_err();
    assert!(error.to_string().contains("written to"), "{error}");
    node.stop().await;
}
