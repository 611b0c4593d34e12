//! The cheapest paths of deltas to a snapshot.

use crate::DeltaRecord;
use bootstash_base::names::Guid;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// What a delta costs a node besides its bytes, in bytes: asking for it, and a receive, in which ZFS waits for the
/// disk several times.
pub(super) const DELTA_OVERHEAD_BYTES: u64 = 16 << 20;

/// From each snapshot that deltas lead on from: the first of those that lead to the end by the fewest bytes, with
/// [`DELTA_OVERHEAD_BYTES`] for each.
#[derive(Debug)]
pub struct DeltaPaths<'a> {
    end: Guid,
    next: HashMap<Guid, &'a DeltaRecord>,
}

impl<'a> DeltaPaths<'a> {
    /// All paths to `end`. Searched from the end back, each snapshot once, so that a log which loops ends the search
    /// too.
    pub fn to(end: Guid, deltas: &'a [DeltaRecord]) -> Self {
        let mut leading_to: HashMap<Guid, Vec<usize>> = HashMap::new();
        for (at, delta) in deltas.iter().enumerate() {
            leading_to.entry(delta.to).or_default().push(at);
        }
        let mut next: HashMap<Guid, &DeltaRecord> = HashMap::new();
        // The cost from a snapshot to the end, the snapshot, and the delta that begins there.
        let mut queue: BinaryHeap<Reverse<(u64, Guid, Option<usize>)>> =
            BinaryHeap::from([Reverse((0, end, None))]);
        while let Some(Reverse((cost, to, by))) = queue.pop() {
            if next.contains_key(&to) || (to == end && by.is_some()) {
                continue;
            }
            next.extend(by.map(|at| (to, &deltas[at])));
            for at in leading_to.get(&to).into_iter().flatten().copied() {
                if let Some(from) = deltas[at].from {
                    queue.push(Reverse((cost_of(&deltas[at]).saturating_add(cost), from, Some(at))));
                }
            }
        }
        Self { end, next }
    }

    /// The deltas that lead on from `start`; none where none of them do.
    pub fn from(&self, start: Guid) -> Option<Vec<&'a DeltaRecord>> {
        let mut path = Vec::new();
        let mut at = start;
        while at != self.end {
            let delta = *self.next.get(&at)?;
            path.push(delta);
            at = delta.to;
        }
        Some(path)
    }
}

fn cost_of(delta: &DeltaRecord) -> u64 {
    delta.bytes.saturating_add(DELTA_OVERHEAD_BYTES)
}
