//! Registering where the volume is not at its place: nothing lands elsewhere, and nothing empty is published.

use super::{Bench, config};
use crate::layout::Layout;
use crate::nodes::Nodes;
use crate::volume::{PublicationLog, VolumeError, VolumeTask};
use bootstash_base::names::ImageName;
use bootstash_net::api::{JobOutcome, Step};
use bootstash_zfs::fake::{FakeZfs, Verb};
use bootstash_zfs::{CreateError, Owner, Zfs};
use std::sync::Arc;

/// By `zfs set mountpoint`, with a folder left where it was.
fn move_away(bench: &Bench) -> std::path::PathBuf {
    let elsewhere = bench.layout.mountpoint.with_file_name("elsewhere");
    bench.zfs.move_mount(&bench.layout.volume, &elsewhere).unwrap();
    std::fs::create_dir_all(&bench.layout.mountpoint).unwrap();
    elsewhere
}

fn move_back(bench: &Bench) {
    bench.zfs.move_mount(&bench.layout.volume, &bench.layout.mountpoint).unwrap();
}

fn remedy(bench: &Bench) -> String {
    format!("zfs set mountpoint={} {}", bench.layout.mountpoint.display(), bench.layout.volume)
}

#[tokio::test]
async fn a_volume_mounted_elsewhere_takes_no_cache_and_no_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path(), Arc::new(FakeZfs::new())).await;
    bench.register("first").await;
    let before = bench.zfs.snapshots(&bench.layout.volume).await.unwrap();
    let elsewhere = move_away(&bench);
    let JobOutcome::Failed { step, error, .. } = bench.register("second").await else { panic!("registered") };
    assert_eq!(step, Step::Import);
    assert!(error.contains(&remedy(&bench)), "{error}");
    assert_eq!(std::fs::read_dir(&bench.layout.mountpoint).unwrap().count(), 0, "something landed below");
    let deregistered = bench.volume.deregister("first".parse().unwrap(), true).await.unwrap_err();
    assert!(matches!(deregistered, VolumeError::MountPoint(_)), "{deregistered}");
    assert!(elsewhere.join("images/first").exists());
    assert_eq!(bench.zfs.snapshots(&bench.layout.volume).await.unwrap(), before);
    move_back(&bench);
    assert!(matches!(bench.register("second").await, JobOutcome::Registered { .. }));
    assert_eq!(bench.images(), ["first", "second"]);
    bench.close().await;
}

/// After the import, and before the snapshot that is to hold it.
#[tokio::test]
async fn no_snapshot_is_taken_of_a_volume_that_was_moved_since_the_import() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path(), Arc::new(FakeZfs::new())).await;
    let before = bench.zfs.snapshots(&bench.layout.volume).await.unwrap();
    move_away(&bench);
    let refused = bench.volume.snapshot(&Default::default()).await.unwrap_err();
    assert!(matches!(refused, VolumeError::MountPoint(_)), "{refused}");
    assert_eq!(bench.zfs.snapshots(&bench.layout.volume).await.unwrap(), before);
    move_back(&bench);
    bench.volume.snapshot(&Default::default()).await.unwrap();
    bench.close().await;
}

/// What was written when it was moved may be in two file systems: no success.
#[tokio::test]
async fn a_volume_that_is_moved_while_it_is_changed_fails_the_change() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path(), Arc::new(FakeZfs::new())).await;
    bench.register("first").await;
    let name: ImageName = "first".parse().unwrap();
    let mut mounting = bench.zfs.hang_next(Verb::Mount);
    let (volume, removed) = (bench.volume.clone(), name.clone());
    let discarding = tokio::spawn(async move { volume.discard(removed).await });
    mounting.reached().await;
    move_away(&bench);
    mounting.release();
    assert!(matches!(discarding.await.unwrap(), Err(VolumeError::MountPoint(_))));
    move_back(&bench);
    assert_eq!(bench.images(), ["first"]);
    bench.close().await;
}

#[tokio::test]
async fn an_agents_data_set_is_not_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let layout = Layout::new(&config).unwrap();
    layout.make_dirs().unwrap();
    let zfs = Arc::new(FakeZfs::new());
    let agent = Owner::Agent("c17".parse().unwrap());
    let root = bootstash_zfs::NewDataset {
        role: bootstash_zfs::Role::Root,
        mountpoint: None,
        properties: Vec::new(),
    };
    bootstash_zfs::make_root(zfs.as_ref(), &layout.root, &root, &agent).await.unwrap();
    let nodes = Arc::new(Nodes::load(layout.nodes_file.clone()).unwrap());
    let log = PublicationLog::new(layout.deltas.clone());
    let opened = VolumeTask::open(zfs.clone(), layout.clone(), log, nodes, config.window).await;
    let refused = opened.map(drop).unwrap_err();
    assert!(matches!(refused, VolumeError::Create(CreateError::Owned { .. })), "{refused}");
    assert!(zfs.children(&layout.root).await.unwrap().is_empty() && zfs.properties(&layout.root).is_empty());
}
