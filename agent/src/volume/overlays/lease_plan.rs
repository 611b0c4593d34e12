//! What becomes of the records in view of what is on disk. Pure.
//!
//! Promises: an overlay is let go only where its file was seen to be gone for long enough, or to be no
//! overlay any more; what was not seen counts as there. Each that goes says why.

use super::file_state::FileState;
use super::lease::{Lease, Records, Stage};
use bootstash_base::names::SnapshotName;
use bootstash_delta::retention::Span;
use bootstash_net::api::ReleasedOverlay;
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

/// What was seen of one recorded overlay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Observation {
    pub(super) file: FileState,
    /// Where its storage is mounted, if it is there.
    pub(super) mount_point: Option<PathBuf>,
    /// When its file was written that now is there, chains onto nothing of ours, and is open to nobody.
    pub(super) foreign_since: Option<DateTime<Utc>>,
}

/// What was seen of all storage.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// The recorded overlays that could be looked at, by path.
    pub(super) observations: BTreeMap<PathBuf, Observation>,
    /// The overlays that lie in the directories, as records of them would be.
    pub(super) found: Vec<Lease>,
    /// Whether nothing can lie in the directories that was not seen.
    pub(super) complete: bool,
}

/// The records as they should be.
#[derive(Debug)]
pub(in crate::volume) struct LeasePlan {
    pub(super) records: Records,
    pub(in crate::volume) released: Vec<ReleasedOverlay>,
    /// Whether there can be overlays that neither records nor what was found tell of.
    pub(super) complete: bool,
}

impl LeasePlan {
    /// The records after what was seen at `now`. An overlay is let go once it was missing for `grace`;
    /// none is where there is none.
    pub(super) fn of(records: &Records, scan: Scan, now: DateTime<Utc>, grace: Option<TimeDelta>) -> Self {
        let mut plan = Self { records: records.clone(), released: Vec::new(), complete: scan.complete };
        for (path, observation) in &scan.observations {
            plan.note(path, observation, now);
        }
        for found in scan.found {
            plan.adopt(found);
        }
        for (path, observation) in &scan.observations {
            plan.release(path, observation, now, grace);
        }
        plan
    }

    /// The snapshots whose views are needed.
    pub(in crate::volume) fn held(&self) -> BTreeSet<SnapshotName> {
        self.records.values().map(|lease| lease.overlay.snapshot.clone()).collect()
    }

    /// Those of the `views` that an overlay may need which was not seen.
    pub(in crate::volume) fn unconfirmed(&self, views: &BTreeSet<SnapshotName>) -> BTreeSet<SnapshotName> {
        if self.complete {
            return BTreeSet::new();
        }
        let held = self.held();
        views.iter().filter(|view| !held.contains(view)).cloned().collect()
    }

    fn note(&mut self, path: &PathBuf, observation: &Observation, now: DateTime<Utc>) {
        let Some(lease) = self.records.get_mut(path).map(Arc::make_mut) else { return };
        match observation.file {
            FileState::Present => {
                lease.missing_since = None;
                lease.stage = Stage::Made;
                lease.mount_point = lease.mount_point.take().or_else(|| observation.mount_point.clone());
            }
            FileState::Missing => lease.missing_since = lease.missing_since.or(Some(now)),
            FileState::Unreachable => (),
        }
    }

    /// An overlay without a record, or with that of another which lay there before.
    fn adopt(&mut self, found: Lease) {
        let recorded = self.records.get(&found.overlay.path);
        if recorded.is_none_or(|lease| lease.overlay.cache != found.overlay.cache) {
            self.records.insert(found.overlay.path.clone(), Arc::new(found));
        }
    }

    fn release(
        &mut self,
        path: &PathBuf,
        observation: &Observation,
        now: DateTime<Utc>,
        grace: Option<TimeDelta>,
    ) {
        let Some(lease) = self.records.get(path) else { return };
        let Some(reason) = reason(lease, observation, now, grace) else { return };
        let overlay = &lease.overlay;
        self.released.push(ReleasedOverlay {
            path: path.clone(),
            image: overlay.image.clone(),
            snapshot: overlay.snapshot.clone(),
            reason,
        });
        self.records.remove(path);
    }
}

/// Why an overlay is let go, if it is.
fn reason(
    lease: &Lease,
    observation: &Observation,
    now: DateTime<Utc>,
    grace: Option<TimeDelta>,
) -> Option<String> {
    if lease.stage == Stage::Intended && observation.file == FileState::Missing {
        // Nobody was told of it.
        return Some("it was never made".to_owned());
    }
    let (gone, foreign) = match observation.file {
        FileState::Missing => (lease.missing_since, None),
        // A pinned disk is about to be chained.
        FileState::Present => (None, observation.foreign_since.map(|at| at.max(lease.overlay.created))),
        FileState::Unreachable => (None, None),
    };
    let since = now.signed_duration_since(gone.or(foreign)?);
    (since >= grace?).then(|| match foreign {
        None => format!("its file has been gone for {}", Span(since)),
        Some(_) => format!("its file does not chain onto a boot cache, for {}", Span(since)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bootstash_net::api::OverlayView;

    const HOUR: TimeDelta = TimeDelta::hours(1);

    fn lease(path: &str, snapshot: u64) -> Lease {
        let snapshot = SnapshotName::new(snapshot, DateTime::UNIX_EPOCH);
        let overlay = OverlayView {
            path: path.into(),
            image: "alpine".parse().unwrap(),
            cache: format!("/views/{snapshot}/cache.qcow2").into(),
            snapshot,
            virtual_size_bytes: 1 << 30,
            created: DateTime::UNIX_EPOCH,
            firmware: None,
        };
        Lease {
            stage: Stage::Made,
            overlay,
            mount_point: Some("/".into()),
            missing_since: None,
            pinned: false,
        }
    }

    fn records(leases: &[Lease]) -> Records {
        leases.iter().map(|lease| (lease.overlay.path.clone(), Arc::new(lease.clone()))).collect()
    }

    fn scan(path: &str, file: FileState) -> Scan {
        let observation = Observation { file, mount_point: Some("/vms".into()), foreign_since: None };
        Scan { observations: [(path.into(), observation)].into(), found: Vec::new(), complete: true }
    }

    fn now() -> DateTime<Utc> {
        "2026-11-21T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_gone_overlay_is_noted_then_let_go_and_forgiven_if_it_comes_back() {
        let gone = || scan("/vms/a", FileState::Missing);
        let noted = LeasePlan::of(&records(&[lease("/vms/a", 1)]), gone(), now(), Some(HOUR)).records;
        assert_eq!(noted.values().next().unwrap().missing_since, Some(now()));
        let almost = now() + HOUR - TimeDelta::seconds(1);
        assert_eq!(LeasePlan::of(&noted, gone(), almost, Some(HOUR)).records, noted);
        let plan = LeasePlan::of(&noted, gone(), now() + HOUR * 3, Some(HOUR));
        assert!(plan.records.is_empty() && plan.held().is_empty());
        assert_eq!(plan.released[0].reason, "its file has been gone for 3 hours");
        let kept = LeasePlan::of(&noted, gone(), now() + HOUR * 3, None);
        assert_eq!((kept.records, kept.released), (noted.clone(), Vec::new()), "nothing goes at a start");
        let back = LeasePlan::of(&noted, scan("/vms/a", FileState::Present), now() + HOUR * 3, Some(HOUR));
        assert_eq!(back.records, records(&[lease("/vms/a", 1)]));
    }

    #[test]
    fn what_was_not_seen_stays_however_long_it_was_missing_before() {
        let mut lease = lease("/vms/a", 1);
        lease.missing_since = Some(now() - HOUR * 100);
        let before = records(&[lease]);
        for scan in [Scan::default(), scan("/vms/a", FileState::Unreachable)] {
            let plan = LeasePlan::of(&before, scan, now(), Some(HOUR));
            assert_eq!((plan.records, plan.released), (before.clone(), Vec::new()));
        }
    }

    #[test]
    fn intended_overlay_counts_only_if_it_came_to_be() {
        let mut intended = lease("/vms/a", 1);
        (intended.stage, intended.mount_point) = (Stage::Intended, None);
        let before = records(&[intended]);
        let after = |scan| LeasePlan::of(&before, scan, now(), None);
        let gone = after(scan("/vms/a", FileState::Missing));
        assert!(gone.records.is_empty() && gone.released[0].reason.contains("never made"));
        let there = after(scan("/vms/a", FileState::Present)).records;
        let lease = there.values().next().unwrap();
        assert_eq!((lease.stage, lease.mount_point.as_deref()), (Stage::Made, Some("/vms".as_ref())));
        assert_eq!(after(scan("/vms/a", FileState::Unreachable)).records, before);
    }

    #[test]
    fn found_overlays_get_records_and_those_that_took_anothers_place_a_new_one() {
        let mut scan = scan("/vms/a", FileState::Present);
        scan.found = vec![lease("/vms/a", 2), lease("/vms/b", 3)];
        let plan = LeasePlan::of(&records(&[lease("/vms/a", 1)]), scan, now(), Some(HOUR));
        assert_eq!(plan.records, records(&[lease("/vms/a", 2), lease("/vms/b", 3)]));
        let numbers: Vec<u64> = plan.held().iter().map(SnapshotName::number).collect();
        assert_eq!(numbers, [2, 3]);
    }

    #[test]
    fn a_file_that_is_no_overlay_any_more_is_let_go_when_collecting() {
        let before = records(&[lease("/vms/a", 1)]);
        let foreign = || {
            let mut scan = scan("/vms/a", FileState::Present);
            scan.observations
                .values_mut()
                .for_each(|observation| observation.foreign_since = Some(now() - HOUR));
            scan
        };
        assert_eq!(LeasePlan::of(&before, foreign(), now(), None).records, before);
        assert_eq!(LeasePlan::of(&before, foreign(), now(), Some(HOUR * 2)).records, before);
        let plan = LeasePlan::of(&before, foreign(), now(), Some(HOUR));
        assert!(plan.records.is_empty() && plan.released[0].reason.contains("does not chain"));
    }
}
