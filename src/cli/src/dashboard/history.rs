//! How it came to be as it is: from the record of registrations, so that the first look already shows something, and
//! from what was seen since the dashboard runs. Bounded, and pure.

use crate::cluster::{ClusterView, RegistrarView};
use bootstash_net::api::JobOutcome;
use bootstash_zfs::Usage;
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;

/// How many moments are kept; beyond that every other one of the older half goes.
const MOST_MOMENTS: usize = 1440;

/// The space at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Moment {
    pub(super) at: DateTime<Utc>,
    pub(super) used_bytes: u64,
    pub(super) logical_bytes: u64,
    pub(super) dedup_ratio: f64,
    pub(super) dedup_table_bytes: Option<u64>,
}

/// What was seen since the dashboard runs, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct History(Vec<Moment>);

impl History {
    /// Adds what was said of space, unless it is not new.
    pub(super) fn see(&mut self, view: &ClusterView) {
        let Some(usage) = view.usage() else { return };
        if self.0.last().is_some_and(|last| last.at >= view.asked) {
            return;
        }
        self.0.push(moment(view.asked, usage));
        if self.0.len() > MOST_MOMENTS {
            self.thin();
        }
    }

    /// All that is kept.
    pub(super) fn moments(&self) -> &[Moment] {
        &self.0
    }

    /// The first moment stays: it says since when.
    fn thin(&mut self) {
        let older = self.0.len() / 2;
        let mut number = 0;
        self.0.retain(|_| {
            number += 1;
            number > older || number % 2 == 1
        });
    }
}

fn moment(at: DateTime<Utc>, usage: &Usage) -> Moment {
    Moment {
        at,
        used_bytes: usage.used_bytes,
        logical_bytes: usage.logical_bytes,
        dedup_ratio: usage.dedup_ratio,
        dedup_table_bytes: usage.dedup_table.map(|table| table.bytes),
    }
}

/// What all registrations on record came to, after each snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Registered {
    pub(super) at: DateTime<Utc>,
    /// Boot caches, each as large as it is by itself.
    pub(super) caches_bytes: u64,
    /// What they added to the volume, as the deltas that carry them.
    pub(super) added_bytes: u64,
}

/// One a snapshot, oldest first.
pub(super) fn registered(registrar: &RegistrarView) -> Vec<Registered> {
    let mut snapshots: BTreeMap<u64, (DateTime<Utc>, u64, u64)> = BTreeMap::new();
    for job in &registrar.jobs {
        let Some(JobOutcome::Registered { snapshot, delta_bytes, cache_bytes, .. }) = &job.outcome else {
            continue;
        };
        let of_snapshot = snapshots.entry(snapshot.number()).or_insert((snapshot.taken(), 0, *delta_bytes));
        // One that follows up extends a cache which is counted already.
        of_snapshot.1 += if job.follows_up { 0 } else { *cache_bytes };
    }
    let (mut caches_bytes, mut added_bytes) = (0, 0);
    let sum = |(at, caches, added): (DateTime<Utc>, u64, u64)| {
        caches_bytes += caches;
        added_bytes += added;
        Registered { at, caches_bytes, added_bytes }
    };
    snapshots.into_values().map(sum).collect()
}

/// What a registration added to the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Added {
    pub(super) bytes: u64,
    /// How many registrations share the snapshot, and with it the delta.
    pub(super) shared_by: usize,
}

/// What each image's last registration on record added.
pub(super) fn added(registrar: &RegistrarView) -> BTreeMap<&str, Added> {
    let done = registrar.jobs.iter().filter_map(|job| match &job.outcome {
        Some(JobOutcome::Registered { snapshot, delta_bytes, .. }) => {
            Some((job, snapshot.number(), *delta_bytes))
        }
        _ => None,
    });
    let done: Vec<_> = done.collect();
    let shared = |number| done.iter().filter(|(_, other, _)| *other == number).count();
    done.iter()
        .map(|(job, number, bytes)| (job.name.as_str(), Added { bytes: *bytes, shared_by: shared(*number) }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::samples;
    use crate::stub;
    use bootstash_net::api::{JobId, JobView};
    use chrono::TimeDelta;

    #[test]
    fn it_stays_bounded_and_begins_where_it_began() {
        let mut history = History::default();
        let mut view = samples::view();
        for second in 0..5000 {
            view.asked = samples::now() + TimeDelta::seconds(second);
            history.see(&view);
            history.see(&view);
        }
        let moments = history.moments();
        assert!(moments.len() <= MOST_MOMENTS, "{}", moments.len());
        assert_eq!(moments[0].at, samples::now());
        assert_eq!(moments.last().unwrap().at, view.asked);
        assert!(moments.windows(2).all(|pair| pair[0].at < pair[1].at));
    }

    fn job(id: u64, name: &str, number: u64, delta: u64, cache: u64) -> JobView {
        let mut job = crate::register::samples::registered();
        (job.id, job.name) = (JobId(id), name.parse().unwrap());
        let outcome = JobOutcome::Registered {
            snapshot: stub::snapshot(number),
            delta_bytes: delta,
            cache_bytes: cache,
            boots: 2,
            doubt: None,
        };
        JobView { outcome: Some(outcome), ..job }
    }

    #[test]
    fn registrations_that_share_a_snapshot_added_its_delta_once() {
        let mut registrar = samples::registrar();
        registrar.jobs.extend([
            job(20, "a", 50, 10, 100),
            job(21, "b", 50, 10, 200),
            job(22, "a", 51, 5, 300),
        ]);
        let sums: Vec<_> =
            registered(&registrar).iter().map(|at| (at.caches_bytes, at.added_bytes)).collect();
        let first = (124_010_000, 33 << 20);
        assert_eq!(sums, [first, (first.0 + 300, first.1 + 10), (first.0 + 600, first.1 + 15)]);
        let added = added(&registrar);
        assert_eq!(added["a"], Added { bytes: 5, shared_by: 1 });
        assert_eq!(added["b"], Added { bytes: 10, shared_by: 2 });
        assert!(!added.contains_key("broken"));
    }
}
