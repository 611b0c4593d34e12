use super::*;
use bootstash_base::names::{Guid, SnapshotName};
use proptest::prelude::*;

fn name(number: u64) -> SnapshotName {
    SnapshotName::new(number, "2026-11-21T10:15:30Z".parse().unwrap())
}

fn snapshot(number: u64, guid: u64) -> Snapshot {
    Snapshot { name: name(number), guid: Guid::new(guid), created: name(number).taken() }
}

fn delta(from: Option<u64>, to: u64) -> DeltaRecord {
    DeltaRecord {
        file: format!("{to}.delta"),
        from: from.map(Guid::new),
        to: Guid::new(to),
        to_name: name(to),
        bytes: 1,
        digest: String::new(),
    }
}

/// Snapshots with these GUIDs, and a delta from each to the next.
fn log(guids: &[u64]) -> VolumeLog {
    VolumeLog {
        snapshots: guids.iter().map(|guid| snapshot(*guid, *guid)).collect(),
        deltas: guids.windows(2).map(|pair| delta(Some(pair[0]), pair[1])).collect(),
        ..VolumeLog::default()
    }
}

#[test]
fn same_newest_is_up_to_date_whatever_lies_before() {
    assert_eq!(plan(&[], &VolumeLog::default()), Plan::UpToDate);
    assert_eq!(plan(&[snapshot(3, 3)], &log(&[1, 2, 3])), Plan::UpToDate);
}

#[test]
fn lagging_node_applies_each_in_order() {
    let node = [snapshot(1, 1), snapshot(2, 2)];
    assert_eq!(plan(&node, &log(&[1, 2, 3, 4])), Plan::Apply(vec![delta(Some(2), 3), delta(Some(3), 4)]));
}

#[test]
fn road_may_start_at_a_snapshot_the_registrar_has_collected() {
    let mut log = log(&[1, 2, 3]);
    log.snapshots.remove(0);
    assert!(matches!(plan(&[snapshot(1, 1)], &log), Plan::Apply(deltas) if deltas.len() == 2));
}

#[test]
fn shortcut_is_taken_and_a_dead_end_is_not() {
    let mut log = log(&[1, 2, 3, 4]);
    log.deltas.push(delta(Some(1), 3));
    log.deltas.push(delta(Some(1), 9));
    assert_eq!(plan(&[snapshot(1, 1)], &log), Plan::Apply(vec![delta(Some(1), 3), delta(Some(3), 4)]));
}

#[test]
fn bytes_and_number_decide_between_paths() {
    let mut log = log(&[1, 2, 3, 4, 5, 6]);
    log.deltas.push(DeltaRecord { bytes: 60 << 20, ..delta(Some(1), 6) });
    assert!(matches!(plan(&[snapshot(1, 1)], &log), Plan::Apply(deltas) if deltas.len() == 1));
    log.deltas.last_mut().unwrap().bytes = 90 << 20;
    assert!(matches!(plan(&[snapshot(1, 1)], &log), Plan::Apply(deltas) if deltas.len() == 5));
}

#[test]
fn one_increment_is_worth_it_for_many_small_deltas_or_where_none_lead_on() {
    let guids: Vec<u64> = (1..=250).collect();
    let wants = |log: &VolumeLog, head| wants_combined(Guid::new(head), log);
    let mut far = log(&guids);
    assert!(wants(&far, 1) && wants(&far, 245));
    assert!(!wants(&far, 246) && !wants(&far, 250), "a few deltas, and none");
    assert!(!wants(&far, 999), "unknown here");
    far.deltas.push(delta(Some(1), 248));
    assert!(!wants(&far, 1) && wants(&far, 2), "what is there already is shared");
    far.deltas.retain(|delta| delta.to != Guid::new(249));
    assert!(wants(&far, 248), "nothing leads on from it");
    let mut large = log(&guids[..20]);
    large.deltas.iter_mut().for_each(|delta| delta.bytes = 200 << 20);
    assert!(!wants(&large, 1));
    assert!(!wants_combined(Guid::new(1), &VolumeLog::default()));
}

#[test]
fn combined_deltas_go_with_the_nodes_they_were_for_and_beyond_their_bound() {
    let guids: Vec<u64> = (1..=100).collect();
    let mut log = log(&guids);
    let bases = |guids: &[u64]| guids.iter().copied().map(Guid::new).collect();
    let named = |from: u64, to: u64| DeltaRecord { file: format!("{from}-{to}"), ..delta(Some(from), to) };
    log.deltas.extend([named(1, 50), named(1, 90), named(2, 90), named(3, 90)]);
    let mut expired: Vec<_> = expired_combined(&log, &bases(&[1, 2, 100])).into_iter().collect();
    expired.sort();
    assert_eq!(expired, ["1-50", "3-90"], "superseded, and needed by nobody; of the row none");
    assert!(has_room_for_combined(&log, &bases(&[1, 2, 3])));
    log.deltas.extend((4..=30).map(|from| named(from, 60 + from)));
    let all = bases(&guids);
    let expired = expired_combined(&log, &all);
    assert_eq!(expired.len(), 31 - COMBINED_MAX);
    assert!(!expired.contains("30-90") && expired.contains("4-64"), "the newest stay");
    assert!(!has_room_for_combined(&log, &all));
    let large = |from| DeltaRecord { bytes: COMBINED_BYTES_MAX, ..named(from, 99) };
    log.deltas = vec![large(1), large(2)];
    assert_eq!(expired_combined(&log, &all).len(), 1, "a single one may be larger than all may be together");
}

#[test]
fn what_a_node_is_told_leads_it_where_the_whole_log_does() {
    let mut log = log(&[1, 2, 3, 4, 5]);
    log.deltas.push(delta(Some(2), 5));
    log.collected = vec![Guid::new(77)];
    for head in 1..=5 {
        let told = log.since(Some(Guid::new(head)));
        assert_eq!(told.snapshots.len() as u64, 6 - head);
        assert_eq!(plan(&[snapshot(head, head)], &told), plan(&[snapshot(head, head)], &log), "{head}");
    }
    assert_eq!(log.since(Some(Guid::new(77))), log);
    assert_eq!(log.since(None), log);
}

#[test]
fn a_node_that_was_away_for_long_is_no_stranger() {
    let mut log = log(&[7, 8]);
    let node = [snapshot(1, 1)];
    let stranger = plan(&node, &log);
    assert!(
        matches!(stranger, Plan::Diverged { conflict: Conflict::NoCommonSnapshot { .. } }),
        "{stranger:?}"
    );
    log.collected = vec![Guid::new(1)];
    assert!(matches!(plan(&node, &log), Plan::Full { reason: FullReason::TooOld { .. } }));
}

#[test]
fn empty_node_takes_all() {
    assert_eq!(plan(&[], &log(&[1, 2])), Plan::Full { reason: FullReason::Empty });
}

#[test]
fn missing_delta_asks_for_a_full_stream() {
    let mut log = log(&[1, 2, 3]);
    log.deltas.remove(0);
    let reason = FullReason::TooOld { head: snapshot(1, 1) };
    assert_eq!(plan(&[snapshot(1, 1)], &log), Plan::Full { reason });
}

#[test]
fn same_names_with_other_guids_are_other_snapshots() {
    let node = [snapshot(1, 1), snapshot(2, 77)];
    let conflict =
        Conflict::Diverged { common: snapshot(1, 1), head: snapshot(2, 77), newest: snapshot(3, 3) };
    assert_eq!(plan(&node, &log(&[1, 2, 3])), Plan::Diverged { conflict });
    let conflict = Conflict::NoCommonSnapshot { head: snapshot(2, 77), newest: snapshot(3, 3) };
    assert_eq!(plan(&node[1..], &log(&[1, 2, 3])), Plan::Diverged { conflict });
}

#[test]
fn emptied_registrar_is_a_conflict_which_says_so() {
    let Plan::Diverged { conflict } = plan(&[snapshot(5, 5)], &VolumeLog::default()) else { panic!() };
    assert!(conflict.to_string().contains("bs-000005"), "{conflict}");
}

proptest! {
    /// Whatever deltas a log offers, loops included: a plan to apply joins head and newest, without
    /// going anywhere twice.
    #[test]
    fn plans_to_apply_join_head_and_newest(
        pairs in prop::collection::vec((0_u64..8, 0_u64..8), 0..20),
        head in 0_u64..8,
        newest in 0_u64..8,
    ) {
        let log = VolumeLog {
            snapshots: vec![snapshot(newest, newest)],
            deltas: pairs.iter().map(|(from, to)| delta(Some(*from), *to)).collect(),
            ..VolumeLog::default()
        };
        match plan(&[snapshot(head, head)], &log) {
            Plan::UpToDate => prop_assert_eq!(head, newest),
            Plan::Apply(deltas) => {
                prop_assert!(!deltas.is_empty() && deltas.len() < 8);
                let mut at = Guid::new(head);
                for delta in &deltas {
                    prop_assert!(log.deltas.contains(delta));
                    prop_assert_eq!(delta.from, Some(at));
                    at = delta.to;
                }
                prop_assert_eq!(at, Guid::new(newest));
            }
            Plan::Full { .. } | Plan::Diverged { .. } => prop_assert!(!reachable(&pairs, head, newest)),
        }
    }

    /// Whatever the snapshots are called: GUIDs alone decide.
    #[test]
    fn names_decide_nothing(
        node in prop::collection::vec((0_u64..9, 0_u64..9), 0..6),
        registrar in prop::collection::vec(0_u64..9, 0..6),
        collected in prop::collection::vec(0_u64..9, 0..3),
    ) {
        let log = VolumeLog { collected: collected.into_iter().map(Guid::new).collect(), ..log(&registrar) };
        let named: Vec<_> = node.iter().map(|(number, guid)| snapshot(*number, *guid)).collect();
        let renamed: Vec<_> = node.iter().map(|(_, guid)| snapshot(1, *guid)).collect();
        prop_assert_eq!(without_names(plan(&named, &log)), without_names(plan(&renamed, &log)));
    }

    /// On a straight row, a node anywhere on it gets exactly what it lacks.
    #[test]
    fn straight_road(length in 1_u64..30, at in 0_u64..30) {
        let guids: Vec<u64> = (0..length).collect();
        let at = at % length;
        match plan(&[snapshot(at, at)], &log(&guids)) {
            Plan::UpToDate => prop_assert_eq!(at + 1, length),
            Plan::Apply(deltas) => prop_assert_eq!(deltas.len() as u64, length - 1 - at),
            other => prop_assert!(false, "{:?}", other),
        }
    }
}

/// A plan in terms of GUIDs.
fn without_names(plan: Plan) -> (&'static str, Vec<Guid>) {
    match plan {
        Plan::UpToDate => ("up to date", Vec::new()),
        Plan::Apply(deltas) => ("apply", deltas.iter().map(|delta| delta.to).collect()),
        Plan::Full { reason: FullReason::Empty } => ("empty", Vec::new()),
        Plan::Full { reason: FullReason::TooOld { head } } => ("too old", vec![head.guid]),
        Plan::Diverged { conflict: Conflict::RegistrarEmpty { head } } => {
            ("registrar empty", vec![head.guid])
        }
        Plan::Diverged { conflict: Conflict::Diverged { common, head, newest } } => {
            ("node went on", vec![common.guid, head.guid, newest.guid])
        }
        Plan::Diverged { conflict: Conflict::NoCommonSnapshot { head, newest } } => {
            ("nothing shared", vec![head.guid, newest.guid])
        }
    }
}

fn reachable(pairs: &[(u64, u64)], start: u64, end: u64) -> bool {
    let mut seen = vec![start];
    let mut next = 0;
    while next < seen.len() {
        let at = seen[next];
        next += 1;
        for (_, to) in pairs.iter().filter(|(from, _)| *from == at) {
            if !seen.contains(to) {
                seen.push(*to);
            }
        }
    }
    seen.contains(&end)
}
