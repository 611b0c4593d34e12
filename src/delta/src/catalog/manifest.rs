//! The manifest that lies beside every boot cache.

use bootstash_base::names::ImageName;
use bootstash_disk::Source;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// What told that a boot was complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BootSignal {
    /// A login prompt on the serial console.
    LoginPrompt,
    /// The guest agent answered.
    GuestAgent,
    /// Neither came; it read nothing for a long time.
    Quiet,
}

/// How sure we are that the cache holds the whole boot working set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// A signal told that it booted, and the last boot read nothing new.
    High,
    /// No signal came, the last boot still read something new, or no boot is on record.
    Low,
}

/// One capture boot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BootRecord {
    /// From power-on to the end of the capture.
    pub seconds: f64,
    /// Bytes read from the base, in whole clusters.
    pub base_bytes: u64,
    /// Clusters no earlier boot had read.
    pub new_clusters: u64,
    /// What told that it was complete.
    pub signal: BootSignal,
    /// The hardware profile it ran on; none in manifests older than profiles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// When it began, after the first one; boots run side by side where there are processors. 0 in older manifests.
    #[serde(default)]
    pub began_seconds: f64,
    /// Why a try before it failed, in a way that may be chance.
    #[serde(default)]
    pub retried_after: Option<String>,
}

/// A hardware profile that an image did not come up on, though it did on others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unbooted {
    /// Its name.
    pub profile: String,
    /// What ended the boot.
    pub why: String,
}

/// Facts about the cache file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheFacts {
    /// Size of the file, in bytes.
    pub bytes: u64,
    /// Cluster size, in bytes.
    pub cluster_bytes: u64,
    /// Clusters that hold data.
    pub data_clusters: u64,
    /// Clusters marked as zero.
    pub zero_clusters: u64,
}

/// All that is known of a registered image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this form: 1.
    pub version: u32,
    /// The image, by its registered name.
    pub name: ImageName,
    /// Its base.
    pub source: Source,
    /// Its boot cache.
    pub cache: CacheFacts,
    /// The capture boots, in order; none where the cache was adopted without a record of them.
    pub boots: Vec<BootRecord>,
    /// The hardware profiles that the image did not come up on; absent from older manifests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unbooted: Vec<Unbooted>,
    /// How far to trust the cache.
    pub confidence: Confidence,
    /// What ran the boots: `kvm` or `tcg`; `none` where there is no record of boots.
    pub accelerator: String,
    /// Whether its boots had a seed of cloud-init, as a VM of a cloud has metadata; none had before this was written
    /// down.
    #[serde(default)]
    pub seed: bool,
    /// How many boots are still to be made, since the nodes were given the cache before; none in manifests older than
    /// that.
    #[serde(default)]
    pub boots_to_follow: u32,
    /// When the cache was captured or adopted.
    pub registered: DateTime<Utc>,
}

impl Manifest {
    /// The version this code writes.
    pub const VERSION: u32 = 1;
}

#[cfg(test)]
mod tests {
    use super::*;
    use bootstash_disk::firmware::Firmware;

    /// As the first version of this code wrote it.
    const OLD: &str = r#"{
        "version": 1, "name": "debian12",
        "source": {
            "path": "/srv/debian12.raw", "format": "raw", "virtual_size_bytes": 1048576,
            "identity": { "size_bytes": 1048576, "mtime_ns": 1, "sample_digest": "00" }
        },
        "cache": { "bytes": 6, "cluster_bytes": 65536, "data_clusters": 1, "zero_clusters": 2 },
        "boots": [{ "seconds": 1.5, "base_bytes": 65536, "new_clusters": 1, "signal": "login-prompt" }],
        "confidence": "high", "accelerator": "tcg", "registered": "2026-11-21T10:15:30Z"
    }"#;

    #[test]
    fn manifests_that_are_older_are_of_boots_by_bios_without_a_seed() {
        let manifest: Manifest = serde_json::from_str(OLD).unwrap();
        assert_eq!((manifest.source.firmware, manifest.seed), (Firmware::Bios, false));
        assert_eq!(manifest.boots_to_follow, 0);
        let again = serde_json::to_string(&manifest).unwrap();
        assert_eq!(serde_json::from_str::<Manifest>(&again).unwrap(), manifest);
    }

    #[test]
    fn a_boot_on_record_before_there_were_profiles_is_read() {
        let old = r#"{"seconds":1.5,"base_bytes":65536,"new_clusters":1,"signal":"login-prompt"}"#;
        let boot: BootRecord = serde_json::from_str(old).unwrap();
        assert_eq!((boot.profile.as_deref(), boot.new_clusters), (None, 1));
        assert!(serde_json::to_value(&boot).unwrap().get("profile").is_none());
    }
}
