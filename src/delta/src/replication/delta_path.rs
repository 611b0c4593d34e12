//! The shortest path of deltas from one snapshot to another.

use crate::DeltaRecord;
use bootstash_base::names::Guid;
use std::collections::{HashMap, VecDeque};

/// The fewest deltas that lead from `start` to `end`; none where none of them do. Searched from
/// the end back, each snapshot once, so that a log which loops ends the search too.
pub(super) fn shortest(start: Guid, end: Guid, deltas: &[DeltaRecord]) -> Option<Vec<DeltaRecord>> {
    let mut leading_to: HashMap<Guid, Vec<&DeltaRecord>> = HashMap::new();
    for delta in deltas {
        leading_to.entry(delta.to).or_default().push(delta);
    }
    let mut next: HashMap<Guid, &DeltaRecord> = HashMap::new();
    let mut queue = VecDeque::from([end]);
    while let Some(to) = queue.pop_front() {
        for delta in leading_to.remove(&to).unwrap_or_default() {
            let Some(from) = delta.from else { continue };
            if from != end && !next.contains_key(&from) {
                next.insert(from, delta);
                queue.push_back(from);
            }
        }
    }
    walk(start, end, &next)
}

fn walk(start: Guid, end: Guid, next: &HashMap<Guid, &DeltaRecord>) -> Option<Vec<DeltaRecord>> {
    let mut path = Vec::new();
    let mut at = start;
    while at != end {
        let delta = next.get(&at)?;
        path.push((*delta).clone());
        at = delta.to;
    }
    Some(path)
}
