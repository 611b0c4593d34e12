//! Sets of clusters which mostly lie side by side. Pure.

use std::ops::Range;

/// A set of cluster numbers, kept as runs in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterRuns(Vec<Range<u64>>);

impl ClusterRuns {
    /// Adds `clusters`, none of which may lie before one that was added earlier; what is there
    /// already stays.
    pub fn append(&mut self, clusters: Range<u64>) {
        match self.0.last_mut() {
            Some(last) if clusters.start <= last.end => last.end = last.end.max(clusters.end),
            _ if clusters.is_empty() => (),
            _ => self.0.push(clusters),
        }
    }

    /// Whether it has this cluster.
    pub fn contains(&self, cluster: u64) -> bool {
        let after = self.0.partition_point(|run| run.start <= cluster);
        after > 0 && cluster < self.0[after - 1].end
    }

    /// How many clusters it has.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|run| run.end - run.start).sum()
    }

    /// Its runs, in ascending order, none touching another.
    pub fn runs(&self) -> &[Range<u64>] {
        &self.0
    }

    /// The parts of its runs within `window`.
    pub(super) fn within(&self, window: Range<u64>) -> impl Iterator<Item = Range<u64>> {
        let first = self.0.partition_point(|run| run.end <= window.start);
        let runs = self.0[first..].iter().take_while({
            let end = window.end;
            move |run| run.start < end
        });
        runs.map(move |run| run.start.max(window.start)..run.end.min(window.end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_become_one_run() {
        let mut runs = ClusterRuns::default();
        for run in [0..2, 2..3, 5..6, 5..6, 6..6, 9..12] {
            runs.append(run);
        }
        assert_eq!(runs.runs(), [0..3, 5..6, 9..12]);
        assert_eq!(runs.count(), 7);
        let held: Vec<u64> = (0..15).filter(|&cluster| runs.contains(cluster)).collect();
        assert_eq!(held, [0, 1, 2, 5, 9, 10, 11]);
    }

    #[test]
    fn windows_cut_runs() {
        let mut runs = ClusterRuns::default();
        for run in [0..4, 6..8, 10..20] {
            runs.append(run);
        }
        assert_eq!(runs.within(2..12).collect::<Vec<_>>(), [2..4, 6..8, 10..12]);
        assert_eq!(runs.within(4..6).count(), 0);
    }
}
