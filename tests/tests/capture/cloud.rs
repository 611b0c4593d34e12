//! An image with cloud-init, and the seed that its capture gives it.

use crate::firmware::{captured_with, inspected, scratch};
use crate::guest::tool;
use bootstash_daemon::config::CaptureConfig;
use bootstash_delta::catalog::BootSignal;
use bootstash_disk::iso9660;
use bootstash_net::api::{CaptureChoices, Progress};
use std::collections::BTreeSet;
use tokio::sync::watch;

/// By label and type cloud-init looks for it; what mounts it shows names in small letters.
#[test]
fn blkid_takes_a_volume_of_ours_for_a_cd() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("seed"), iso9660::volume("cidata", &[("user-data", b"x")])).unwrap();
    let found = tool("blkid", &["-p", "-o", "export", "seed"], dir.path());
    assert!(found.contains("LABEL=cidata") && found.contains("TYPE=iso9660"), "{found}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_with_cloud_init_boots_with_the_seed_to_its_prompt() {
    let (dir, image) = (scratch(), inspected("debian12-cloud").await);
    let (progress, seen) = watch::channel(Progress::default());
    let lines = tokio::spawn(console_lines(seen));
    let config = CaptureConfig { max_boots: 1, memory_mib: 1024, ..CaptureConfig::default() };
    let captured = captured_with(image, dir.path(), config, CaptureChoices::default(), &progress).await;
    drop(progress);
    assert!(captured.seed, "the manifest would not say so");
    assert_eq!(captured.boots[0].signal, BootSignal::LoginPrompt);
    // The name is the seed's: cloud-init has found and used it.
    let lines = lines.await.unwrap();
    assert!(lines.iter().any(|line| line.contains("bootstash-capture login:")), "{lines:?}");
}

async fn console_lines(mut seen: watch::Receiver<Progress>) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    while seen.changed().await.is_ok() {
        lines.extend(seen.borrow_and_update().console_line.clone());
    }
    lines
}
