//! A cluster with something of everything, for tests.

use super::{ClusterView, RegistrarView};
use crate::register::samples;
use crate::stub;
use bootstash_base::error::ErrorClass;
use bootstash_delta::catalog::Confidence;
use bootstash_net::api::{ImageView, JobId, JobOutcome, JobView, NodeView, Progress, RegistrarStatus, Step};
use bootstash_zfs::{DedupTable, Flavor, Usage};
use chrono::{DateTime, TimeDelta, Utc};

/// The moment that it is looked at.
pub(crate) fn now() -> DateTime<Utc> {
    "2026-11-21T10:20:00Z".parse().unwrap()
}

/// 96 MiB of 12 GiB.
pub(crate) fn usage() -> Usage {
    Usage {
        logical_bytes: 372 << 20,
        used_bytes: 96 << 20,
        available_bytes: 12 << 30,
        dedup_ratio: 1.914,
        compress_ratio: 2.0,
        dedup_table: Some(DedupTable { bytes: 3 << 20, quota_bytes: Some(64 << 20) }),
    }
}

/// Four nodes, five jobs, two images.
pub(crate) fn registrar() -> RegistrarView {
    let status = RegistrarStatus {
        version: "0.1.0".to_owned(),
        zfs: Flavor::OpenZfs,
        images: 2,
        snapshot: Some(stub::snapshot(42)),
        snapshots: 12,
        delta_bytes: 90 << 20,
        usage: Some(usage()),
        zfs_unanswered: None,
        jobs: 3,
    };
    RegistrarView { status, nodes: nodes(), jobs: jobs(), images: images() }
}

/// With no agent beside it.
pub(crate) fn view() -> ClusterView {
    ClusterView { registrar: Some(registrar()), ..ClusterView::new(now()) }
}

fn nodes() -> Vec<NodeView> {
    let node1 = NodeView {
        name: "node1".parse().unwrap(),
        snapshot: Some(stub::snapshot(42)),
        lag: Some(0),
        last_contact: now() - TimeDelta::seconds(3),
        version: Some("0.1.0".to_owned()),
        expired: false,
        problem: None,
        expelled: None,
        identity_conflict: None,
    };
    let behind = NodeView { name: "node2".parse().unwrap(), lag: Some(3), ..node1.clone() };
    let gone = NodeView {
        name: "node3".parse().unwrap(),
        last_contact: now() - TimeDelta::days(9),
        expired: true,
        ..node1.clone()
    };
    let ill = NodeView {
        name: "compute-17".parse().unwrap(),
        snapshot: None,
        lag: None,
        version: None,
        problem: Some("the pool\nis full".to_owned()),
        ..node1.clone()
    };
    vec![node1, behind, gone, ill]
}

fn jobs() -> Vec<JobView> {
    let failed = JobOutcome::Failed {
        step: Step::Capture,
        error: "no login prompt after ten minutes".to_owned(),
        kind: ErrorClass::Permanent,
    };
    let importing = Progress { bytes: Some(59 << 20), total_bytes: Some(118 << 20), ..Progress::default() };
    let waiting = Progress { waiting: Some("for another capture to end".to_owned()), ..Progress::default() };
    let job = |id, name: &str, job: JobView| JobView { id: JobId(id), name: name.parse().unwrap(), ..job };
    vec![
        job(6, "broken", JobView { outcome: Some(failed), ..samples::capturing() }),
        job(7, "debian12", samples::registered()),
        job(8, "debian12-nginx", samples::capturing()),
        job(9, "rocky9", JobView { step: Step::Import, progress: importing, ..samples::capturing() }),
        job(10, "fedora42", JobView { step: Step::Capture, progress: waiting, ..samples::inspecting() }),
    ]
}

fn images() -> Vec<ImageView> {
    let mut alpine = stub::image("alpine", now() - TimeDelta::days(2));
    alpine.manifest.cache.bytes = 30 << 20;
    alpine.manifest.confidence = Confidence::Low;
    alpine.manifest.boots.truncate(1);
    alpine.snapshot = Some(stub::snapshot(40));
    vec![alpine, stub::image("debian12", now() - TimeDelta::minutes(4))]
}
