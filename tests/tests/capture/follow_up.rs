//! The boots that are left when nodes have a cache already.

use crate::guest::{CLUSTER, held};
use crate::verb::{GUEST, captured, config, disk, request};
use bootstash_daemon::config::CaptureConfig;
use bootstash_delta::catalog::{Confidence, Manifest};
use bootstash_disk::qcow2::{self, CLUSTER_BYTES, CacheFile, Layout};
use bootstash_qemu::{HardwareProfiles, Qemu};
use bootstash_registrar::capture::{Boots, CaptureRequest, Captured, PublishedCache, verify};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Where the guest reads alone, far from all else.
const MISSED: [u64; 2] = [44, 45];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn boots_that_follow_add_what_the_first_ones_missed_and_move_nothing() {
    let (dir, base) = disk(&GUEST);
    let config = CaptureConfig { profiles: HardwareProfiles::default(), ..config() };
    let early = CaptureRequest { boots: Boots::FirstRound, ..request(&base, config).await };
    let first = captured(&early).await.unwrap();
    assert_eq!((first.boots.len(), first.boots_to_follow, first.confidence), (1, 3, Confidence::Low));

    let published = dir.path().join("published.qcow2");
    without(&first.cache, &MISSED, &base, &published).await;
    let manifest = Box::new(manifest(&first, &early));
    let following = Boots::Following(PublishedCache { file: published.clone(), manifest });
    let last = captured(&CaptureRequest { boots: following, ..early.clone() }).await.unwrap();

    let new: Vec<u64> = last.boots.iter().map(|boot| boot.new_clusters).collect();
    assert_eq!(new[1..], [2, 0]);
    let profiles: Vec<_> = last.boots.iter().filter_map(|boot| boot.profile.as_deref()).collect();
    assert_eq!(profiles, ["libvirt", "openstack", "libvirt-scsi"], "the first is not made again");
    assert_eq!((last.boots_to_follow, last.confidence), (0, Confidence::High));
    assert!(last.boots[1].began_seconds >= last.boots[0].seconds);
    let (before, after) = (std::fs::read(&published).unwrap(), std::fs::read(&last.cache).unwrap());
    let metadata = before.len() - held(&published).0.len() * CLUSTER as usize;
    assert_eq!(after[metadata..before.len()], before[metadata..], "what nodes have stays where it is");
    assert_eq!(after.len(), before.len() + MISSED.len() * CLUSTER as usize);
    verify(&Qemu::find().unwrap(), &last.cache, &early.image).await.unwrap();
    assert!(MISSED.iter().all(|cluster| held(&last.cache).0.contains(cluster)));
}

/// The same cache without some of its clusters.
async fn without(cache: &Path, missed: &[u64], base: &Path, to: &Path) {
    let (cache, missed, base, to) = (cache.to_owned(), missed.to_owned(), base.to_owned(), to.to_owned());
    let write = move || {
        let mut map = CacheFile::open(&cache).unwrap().allocation_map(|| Ok(())).unwrap();
        map.data.retain(|cluster| !missed.contains(cluster));
        let disk = std::fs::File::open(&base).unwrap();
        let bytes = disk.metadata().unwrap().len();
        let format = bootstash_disk::ImageFormat::Raw;
        let layout = Layout::new(bytes, map.data, map.zeros, &base, format).unwrap();
        let mut file = std::fs::File::create(&to).unwrap();
        assert_eq!(CLUSTER, CLUSTER_BYTES);
        qcow2::write(&layout, |buffer, offset| disk.read_exact_at(buffer, offset), &mut file).unwrap();
    };
    tokio::task::spawn_blocking(write).await.unwrap();
}

fn manifest(captured: &Captured, request: &CaptureRequest) -> Manifest {
    Manifest {
        version: Manifest::VERSION,
        name: "image".parse().unwrap(),
        source: request.image.clone(),
        cache: captured.facts.clone(),
        boots: captured.boots.clone(),
        unbooted: Vec::new(),
        confidence: captured.confidence,
        accelerator: "tcg".to_owned(),
        seed: captured.seed,
        boots_to_follow: captured.boots_to_follow,
        registered: "1970-01-01T00:00:00Z".parse().unwrap(),
    }
}
