//! Manifests, as they lie in a volume.

use crate::fuzz::{Reader, Verdict};
use anyhow::ensure;
use bootstash_delta::catalog::{BootRecord, BootSignal, CacheFacts, Confidence, Manifest};
use bootstash_disk::firmware::Firmware;
use bootstash_disk::{BaseIdentity, ImageFormat, Source};
use chrono::DateTime;

pub(super) fn manifest() -> Option<Manifest> {
    let identity =
        BaseIdentity::of(std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))).ok()?;
    let boot = BootRecord {
        seconds: 12.25,
        base_bytes: 65536,
        new_clusters: 1,
        signal: BootSignal::LoginPrompt,
        profile: Some("libvirt".to_owned()),
        began_seconds: 0.0,
        retried_after: None,
    };
    let path = "/srv/images/debian12.raw".into();
    Some(Manifest {
        version: Manifest::VERSION,
        name: "debian12".parse().ok()?,
        source: Source {
            path,
            format: ImageFormat::Raw,
            virtual_size_bytes: 1 << 33,
            identity,
            firmware: Firmware::Uefi,
        },
        cache: CacheFacts { bytes: 1 << 20, cluster_bytes: 65536, data_clusters: 10, zero_clusters: 1 },
        boots: vec![boot; 2],
        unbooted: Vec::new(),
        confidence: Confidence::High,
        accelerator: "tcg".to_owned(),
        seed: true,
        boots_to_follow: 0,
        registered: DateTime::UNIX_EPOCH,
    })
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    manifest().iter().filter_map(|manifest| serde_json::to_vec_pretty(manifest).ok()).collect()
}

pub(super) fn open() -> Reader {
    Box::new(|text| {
        let read = serde_json::from_slice::<Manifest>(text);
        if let Ok(manifest) = &read {
            let again: Manifest = serde_json::from_slice(&serde_json::to_vec(manifest)?)?;
            ensure!(again == *manifest, "written again it is another: {manifest:?}");
        }
        Ok(Verdict::of(&read))
    })
}
