//! The promise for images as people have them: after a capture on all hardware profiles, three boots on each profile, from
//! a base that refuses every read, read no byte of it.
//!
//! Needs QEMU and the images of `tests/ground/images`. A test for each image, so that the test's name selects it;
//! `PROFILES` and `BOOTS` select of the boots, `REUSE=1` takes the cache that an earlier run captured. What is measured is
//! in `target/tmp/images/<image>.json` as soon as it is. Emulated, an image takes up to an hour.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "all of this is tests")]

#[path = "images/captured.rs"]
mod captured;
#[path = "images/results.rs"]
mod results;
#[path = "images/warm.rs"]
mod warm;

use bootstash_qemu::{HardwareProfile, HardwareProfiles};
use captured::CapturedImage;
use results::Results;

/// Boots on each profile.
const BOOTS: u32 = 3;

/// The profiles to boot on: those that are asked for, or all of them.
fn profiles() -> Vec<HardwareProfile> {
    let asked = std::env::var("PROFILES").ok().filter(|names| !names.is_empty());
    let profiles: HardwareProfiles =
        asked.map_or_else(HardwareProfiles::default, |names| names.parse().unwrap());
    profiles.into()
}

fn boots() -> u32 {
    std::env::var("BOOTS")
        .ok()
        .filter(|boots| !boots.is_empty())
        .map_or(BOOTS, |boots| boots.parse().unwrap())
}

/// Captures the image, boots it warm, and shows what those boots read of the base. All boots are run before any of
/// them fails the test: what one profile lacks is not what the next does.
async fn warm_boots_read_nothing(name: &str) {
    let image = CapturedImage::of(name).await;
    let mut results = Results::begin(name, &image);
    for profile in profiles() {
        for _ in 0..boots() {
            let boot = warm::boot(&image, profile).await;
            results.add(profile, boot);
        }
    }
    println!("{}", results.table());
    assert_eq!(results.failures(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bookworm() {
    warm_boots_read_nothing("debian12").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trixie() {
    warm_boots_read_nothing("debian13").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn btrfs_root() {
    warm_boots_read_nothing("debian12-btrfs").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn database() {
    warm_boots_read_nothing("debian12-postgresql").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cloud_init() {
    warm_boots_read_nothing("debian12-cloud").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uefi_only() {
    warm_boots_read_nothing("debian12-uefi").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alpine() {
    warm_boots_read_nothing("alpine").await;
}
