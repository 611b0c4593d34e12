//! How many boots a capture makes, how many of them side by side, and when there were enough. Pure.
//!
//! Boots that run side by side each start from what was known before, so that none sees what the others read. What
//! shows that nothing is missing is the same in both ways: a boot that read nothing which no other had read. One after
//! the other that is the last boot; side by side it is any of them, so those of a round are put in order by
//! how much each alone has read, and the one with the least is the last.

use super::boot::Booted;
use std::collections::BTreeMap;

/// What limits the boots of one image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    profiles: u32,
    max_boots: u32,
}

impl Schedule {
    /// At least one boot on each profile.
    pub(super) fn new(profiles: u32, max_boots: u32) -> Self {
        Self { profiles, max_boots: max_boots.max(profiles) }
    }

    /// How many boots there are still to be, after so many; `nothing_new`: one of the last round read nothing that no
    /// other had read. Each profile is booted once, and one of them again to show what differs by chance alone.
    pub(super) fn wanted(self, made: u32, nothing_new: bool) -> u32 {
        if made >= self.profiles && nothing_new {
            return 0;
        }
        let goal = (made + 1).max(self.profiles + 1);
        goal.min(self.max_boots).saturating_sub(made)
    }
}

/// Puts the boots of a round in order: the less a boot alone has read, the later.
pub(super) fn in_order(mut round: Vec<Booted>) -> Vec<Booted> {
    let mut readers = BTreeMap::<u64, u32>::new();
    for cluster in round.iter().flat_map(|booted| &booted.clusters) {
        *readers.entry(*cluster).or_default() += 1;
    }
    let alone = |booted: &Booted| booted.clusters.iter().filter(|cluster| readers[cluster] == 1).count();
    round.sort_by_key(|booted| std::cmp::Reverse(alone(booted)));
    round
}

#[cfg(test)]
mod tests {
    use super::*;
    use bootstash_delta::catalog::BootSignal;
    use bootstash_qemu::HardwareProfile;
    use std::time::Duration;

    const THREE: Schedule = Schedule { profiles: 3, max_boots: 5 };

    /// The sizes of the rounds on so many processors, where a boot reads nothing new from the given one on.
    fn rounds(schedule: Schedule, processors: u32, nothing_new_from: u32) -> Vec<u32> {
        let (mut made, mut rounds) = (0, Vec::new());
        while let more @ 1.. = schedule.wanted(made, made >= nothing_new_from) {
            rounds.push(more.min(processors));
            made += more.min(processors);
        }
        rounds
    }

    #[test]
    fn one_after_the_other_ends_when_each_profile_was_booted_and_the_last_read_nothing_new() {
        assert_eq!(rounds(THREE, 1, 2), [1, 1, 1]);
        assert_eq!(rounds(THREE, 1, 4), [1, 1, 1, 1]);
        assert_eq!(rounds(THREE, 1, 99), [1, 1, 1, 1, 1]);
    }

    #[test]
    fn two_processors_take_two_rounds_and_as_many_as_boots_take_one() {
        assert_eq!(rounds(THREE, 2, 4), [2, 2]);
        assert_eq!(rounds(THREE, 4, 4), [4]);
        assert_eq!(rounds(THREE, 64, 4), [4]);
        assert_eq!(rounds(THREE, 64, 99), [4, 1]);
    }

    #[test]
    fn one_profile_is_booted_twice_and_a_limit_is_kept() {
        assert_eq!(rounds(Schedule { profiles: 1, max_boots: 3 }, 1, 2), [1, 1]);
        assert_eq!(rounds(Schedule { profiles: 1, max_boots: 3 }, 8, 99), [2, 1]);
        assert_eq!(rounds(Schedule { profiles: 1, max_boots: 1 }, 8, 99), [1]);
        assert_eq!(rounds(Schedule { profiles: 3, max_boots: 3 }, 8, 99), [3]);
    }

    #[test]
    fn who_read_nothing_alone_comes_last() {
        let booted = |clusters: &[u64]| Booted {
            profile: HardwareProfile::Libvirt,
            signal: BootSignal::LoginPrompt,
            began: Duration::ZERO,
            took: Duration::ZERO,
            clusters: clusters.to_vec(),
            retried_after: None,
        };
        let round = in_order(vec![booted(&[1, 2]), booted(&[1, 2, 3, 9]), booted(&[2, 3, 7, 8])]);
        let order: Vec<_> = round.iter().map(|booted| booted.clusters.clone()).collect();
        assert_eq!(order, [vec![2, 3, 7, 8], vec![1, 2, 3, 9], vec![1, 2]]);
    }
}
