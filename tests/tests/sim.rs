//! The simulation itself: a seed is a history. `make sim` runs many of them.

use bootstash_tests::sim::{self, ScratchDir};

#[test]
fn the_same_seed_is_the_same_history_and_another_is_another() {
    let scratch = ScratchDir::take().unwrap();
    let mut digests = std::collections::BTreeSet::new();
    for seed in 1..=6 {
        let first = sim::run(seed, &scratch, false).unwrap();
        assert_eq!(sim::run(seed, &scratch, false).unwrap(), first);
        assert_eq!(first.violations, [""; 0], "seed {seed}");
        assert!(first.lines > 100, "seed {seed}: {} lines are no history", first.lines);
        digests.insert(first.digest);
    }
    assert_eq!(digests.len(), 6);
}
