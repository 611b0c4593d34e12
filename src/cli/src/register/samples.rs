//! A registration at three moments, for tests.

use crate::stub;
use bootstash_net::api::{JobId, JobOutcome, JobView, Progress, Step};

/// Just begun.
pub(crate) fn inspecting() -> JobView {
    JobView {
        id: JobId(7),
        name: "debian12".parse().unwrap(),
        source: "/srv/debian12.raw".into(),
        seq: 1,
        step: Step::Inspect,
        progress: Progress::default(),
        submitted: "2026-11-21T10:15:00Z".parse().unwrap(),
        step_seconds: Vec::new(),
        outcome: None,
        follows_up: false,
    }
}

/// In the second boot.
pub(crate) fn capturing() -> JobView {
    let progress = Progress {
        boot: Some(2),
        console_line: Some("\x1b[32m[  OK  ]\x1b[0m Started ssh\r".to_owned()),
        clusters: Some(1763),
        bytes: Some(1763 * 65536),
        total_bytes: Some(2 << 30),
        ..Progress::default()
    };
    JobView {
        seq: 4,
        step: Step::Capture,
        progress,
        step_seconds: vec![(Step::Inspect, 0.3)],
        ..inspecting()
    }
}

/// A job whose image is published.
pub(crate) fn registered() -> JobView {
    let step_seconds = vec![
        (Step::Inspect, 0.3),
        (Step::Capture, 128.4),
        (Step::Verify, 1.0),
        (Step::Import, 0.8),
        (Step::Snapshot, 0.1),
        (Step::Publish, 0.3),
    ];
    let outcome = JobOutcome::Registered {
        snapshot: stub::snapshot(42),
        delta_bytes: 33 << 20,
        cache_bytes: 124_010_000,
        boots: 2,
        doubt: None,
    };
    JobView { seq: 9, step: Step::Publish, step_seconds, outcome: Some(outcome), ..inspecting() }
}
