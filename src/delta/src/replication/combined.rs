//! Combined deltas: one increment over many snapshots, for nodes far behind. Whether one is worth making, and which of
//! those that were made may go.

use super::DeltaPaths;
use super::delta_path::DELTA_OVERHEAD_BYTES;
use crate::{DeltaRecord, VolumeLog};
use bootstash_base::names::Guid;
use std::collections::{HashMap, HashSet};

/// A node that lacks no more deltas than this gets each of them.
pub const ROW_MAX: usize = 4;
/// Of all deltas in a row, a combined one may cost the registrar as many bytes as this many times the saving.
const BYTES_FOR_SAVING: u64 = 4;
/// How many combined deltas are kept.
pub const COMBINED_MAX: usize = 16;
/// How many bytes all of them may have, unless a single one has more.
pub const COMBINED_BYTES_MAX: u64 = 8 << 30;

/// Whether one increment from `head` to the newest snapshot is worth making: where nothing leads there, or so many
/// deltas that what each costs besides its bytes outweighs making all the bytes once more.
pub fn wants_combined(head: Guid, log: &VolumeLog) -> bool {
    let Some(newest) = log.snapshots.last() else { return false };
    let known = log.snapshots.iter().position(|snapshot| snapshot.guid == head);
    let behind = known.map_or(0, |at| log.snapshots.len() - 1 - at);
    if behind == 0 {
        return false;
    }
    match DeltaPaths::to(newest.guid, &log.deltas).from(head) {
        None => true,
        Some(row) if row.len() <= ROW_MAX => false,
        Some(row) => {
            let saved = (row.len() as u64 - 1) * DELTA_OVERHEAD_BYTES;
            row.iter().map(|delta| delta.bytes).sum::<u64>() <= saved.saturating_mul(BYTES_FOR_SAVING)
        }
    }
}

/// The combined deltas that may go, as nodes are at `bases`: those from a snapshot that no node is at, those which a
/// newer one from the same snapshot has superseded, and the oldest beyond [`COMBINED_MAX`] and [`COMBINED_BYTES_MAX`].
pub fn expired_combined(log: &VolumeLog, bases: &HashSet<Guid>) -> HashSet<String> {
    let mut combined = combined(log);
    // Those to the newest snapshot first.
    combined.sort_by_key(|(to, _)| std::cmp::Reverse(*to));
    let mut from = HashSet::new();
    let (mut kept, mut bytes) = (0, 0_u64);
    let mut expired = HashSet::new();
    for (_, delta) in combined {
        let needed = delta.from.is_some_and(|guid| bases.contains(&guid) && from.insert(guid));
        let fits = kept == 0 || bytes.saturating_add(delta.bytes) <= COMBINED_BYTES_MAX;
        if needed && kept < COMBINED_MAX && fits {
            kept += 1;
            bytes += delta.bytes;
        } else {
            expired.insert(delta.file.clone());
        }
    }
    expired
}

/// Whether another one may be made: there are fewer than may be kept once those that may go are gone.
pub fn has_room_for_combined(log: &VolumeLog, bases: &HashSet<Guid>) -> bool {
    let (all, expired) = (combined(log), expired_combined(log, bases));
    let kept = all.iter().filter(|(_, delta)| !expired.contains(&delta.file));
    let (count, bytes) = kept.fold((0, 0), |(count, bytes), (_, delta)| (count + 1, bytes + delta.bytes));
    count < COMBINED_MAX && bytes < COMBINED_BYTES_MAX
}

/// The deltas that pass over snapshots, each with the position of the one it leads to.
fn combined(log: &VolumeLog) -> Vec<(usize, &DeltaRecord)> {
    let at: HashMap<Guid, usize> =
        log.snapshots.iter().enumerate().map(|(at, snapshot)| (snapshot.guid, at)).collect();
    let passes_over = |delta: &DeltaRecord| {
        let (from, to) = (at.get(&delta.from?)?, *at.get(&delta.to)?);
        (from + 1 < to).then_some(to)
    };
    log.deltas.iter().filter_map(|delta| Some((passes_over(delta)?, delta))).collect()
}
