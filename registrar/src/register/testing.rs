//! Made-up values for tests.

use bootstash::catalog::*;
use bootstash::names::{Guid, SnapshotName};
use bootstash::zfs::Snapshot;
use chrono::DateTime;

pub(crate) fn manifest(name: &str) -> Manifest {
    Manifest {
        version: Manifest::VERSION,
        name: name.parse().unwrap(),
        source: source("/srv/images/base.raw".as_ref()),
        cache: CacheFacts { bytes: 6, cluster_bytes: 65536, data_clusters: 1, zero_clusters: 2 },
        boots: vec![BootRecord {
            seconds: 1.5,
            base_bytes: 65536,
            new_clusters: 1,
            signal: BootSignal::LoginPrompt,
        }],
        confidence: Confidence::High,
        accelerator: "tcg".to_owned(),
        registered: DateTime::UNIX_EPOCH,
    }
}

pub(crate) fn source(path: &std::path::Path) -> Source {
    Source {
        path: path.to_owned(),
        format: ImageFormat::Raw,
        virtual_size_bytes: 1 << 20,
        identity: BaseIdentity { size_bytes: 1 << 20, mtime_ns: 1, sample_digest: "00".to_owned() },
    }
}

pub(crate) fn snapshot_name(number: u64) -> SnapshotName {
    SnapshotName::new(number, DateTime::UNIX_EPOCH)
}

pub(crate) fn snapshot(number: u64) -> Snapshot {
    Snapshot { name: snapshot_name(number), guid: Guid::new(number * 1000), created: DateTime::UNIX_EPOCH }
}
