use super::*;
use proptest::prelude::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn now() -> DateTime<Utc> {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn facts(number: u64, age_days: i64, pins: Vec<Pin>) -> SnapshotFacts {
    let created = now() - TimeDelta::days(age_days);
    SnapshotFacts { name: SnapshotName::new(number, created), created, pins }
}

fn kept(fates: &[SnapshotFate]) -> Vec<u64> {
    fates.iter().filter(|fate| fate.keep).map(|fate| fate.name.number()).collect()
}

#[test]
fn window_ends_for_old_ones_only() {
    let fates = plan(&[facts(1, 9, vec![]), facts(2, 7, vec![]), facts(3, 6, vec![])], now(), 7 * DAY);
    assert_eq!(kept(&fates), [3]);
    assert_eq!(fates[0].reason, "9 days old, past the window");
    assert_eq!(fates[1].reason, "7 days old, past the window");
}

#[test]
fn newest_stays_however_old_and_in_whatever_order_it_is_given() {
    let fates = plan(&[facts(2, 90, vec![]), facts(1, 100, vec![])], now(), Duration::ZERO);
    assert_eq!(kept(&fates), [2]);
    assert_eq!(fates[1].reason, "it is the newest");
}

#[test]
fn pinned_ones_say_who_needs_them() {
    let node = |name: &str| Pin::BaseOf(name.parse().unwrap());
    let many = vec![Pin::View, node("n1"), node("n2"), node("n3"), node("n4")];
    let fates = plan(&[facts(1, 9, vec![Pin::View]), facts(2, 9, many), facts(3, 0, vec![])], now(), DAY);
    assert_eq!(kept(&fates), [1, 2, 3]);
    assert_eq!(fates[0].reason, "needed by a view");
    assert_eq!(fates[1].reason, "needed by a view, node n1, node n2 and 2 more");
}

#[test]
fn young_ones_say_how_long_they_still_have() {
    let fates = plan(&[facts(1, 4, vec![]), facts(2, 0, vec![])], now(), 7 * DAY);
    assert_eq!(fates[0].reason, "within the window for another 3 days");
}

#[test]
fn beyond_so_many_only_what_is_needed_stays_however_young() {
    let node = |name: &str| name.parse().unwrap();
    let mut snapshots: Vec<_> = (1..=8).map(|number| facts(number, 0, vec![])).collect();
    snapshots[1].pins = vec![Pin::View];
    snapshots[2].pins = vec![Pin::BaseOf(node("n1"))];
    for ahead in &mut snapshots[3..] {
        ahead.pins = vec![Pin::Ahead(node("n1"))];
    }
    let fates = plan(&snapshots, now(), Keep { window: DAY, snapshots_max: 3 });
    assert_eq!(kept(&fates), [2, 3, 6, 7, 8]);
    assert_eq!(fates[0].reason, "there are 3 newer ones, and no more are kept (snapshots_max)");
    assert_eq!(fates[5].reason, "needed by node n1");
    let fates = plan(&snapshots, now(), Keep { window: Duration::ZERO, snapshots_max: 100 });
    assert_eq!(kept(&fates), [2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(kept(&plan(&snapshots[..1], now(), Keep { window: DAY, snapshots_max: 0 })), [1]);
}

#[test]
fn clock_that_went_back_and_endless_window_remove_nothing() {
    let future = facts(1, -3, vec![]);
    assert_eq!(kept(&plan(&[future, facts(2, 0, vec![])], now(), DAY)), [1, 2]);
    assert_eq!(kept(&plan(&[facts(1, 9, vec![]), facts(2, 0, vec![])], now(), Duration::MAX)), [1, 2]);
}

proptest! {
    #[test]
    fn only_old_unpinned_and_superseded_ones_go(
        given in prop::collection::vec((0_i64..30, any::<bool>()), 0..20),
        window_days in 0_u32..30,
    ) {
        let snapshots: Vec<_> = given
            .iter()
            .enumerate()
            .map(|(n, (age, pinned))| facts(n as u64, *age, pinned.then_some(Pin::View).into_iter().collect()))
            .collect();
        let fates = plan(&snapshots, now(), DAY * window_days);
        prop_assert_eq!(fates.len(), snapshots.len());
        for (n, (fate, (age, pinned))) in fates.iter().zip(&given).enumerate() {
            let goes = *age >= i64::from(window_days) && !pinned && n + 1 != given.len();
            prop_assert_eq!(fate.keep, !goes, "{:?}", fate);
            prop_assert!(!fate.reason.is_empty());
        }
    }

    #[test]
    fn a_longer_window_never_removes_more(
        ages in prop::collection::vec(0_i64..30, 0..20),
        short in 0_u32..30,
        more in 0_u32..30,
    ) {
        let snapshots: Vec<_> = ages.iter().enumerate().map(|(n, age)| facts(n as u64, *age, vec![])).collect();
        let few = kept(&plan(&snapshots, now(), DAY * short));
        let many = kept(&plan(&snapshots, now(), DAY * (short + more)));
        prop_assert!(few.iter().all(|number| many.contains(number)));
    }
}
