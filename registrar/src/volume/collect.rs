//! Collect: snapshots that are old and needed by nobody go, and their deltas with them.

use super::VolumeError;
use super::log::has_both_ends;
use super::publish::Publisher;
use bootstash_base::clock;
use bootstash_base::error::Chain;
use bootstash_base::kill_point::{KillPoint, kill_point};
use bootstash_base::names::{DatasetName, Guid, NodeName};
use bootstash_delta::DeltaRecord;
use bootstash_delta::retention;
use bootstash_delta::retention::SnapshotFate;
use bootstash_delta::retention::{Pin, SnapshotFacts};
use bootstash_net::api::GcReport;
use bootstash_zfs::{Snapshot, Zfs};
use std::time::Duration;

/// Destroys what `retention` lets go, or only says so. `bases` are the newest snapshots of the nodes
/// that count. A snapshot that somebody else holds on to stays, and does not stop the rest.
pub(super) async fn collect(
    zfs: &dyn Zfs,
    volume: &DatasetName,
    publisher: &Publisher<'_>,
    bases: &[(NodeName, Guid)],
    window: Duration,
    dry_run: bool,
) -> Result<GcReport, VolumeError> {
    let snapshots = zfs.snapshots(volume).await?;
    let mut fates = retention::plan(&facts(&snapshots, bases), clock::now(), window);
    if dry_run {
        let deltas_removed = would_go(&publisher.scan().await?, &snapshots, &fates);
        return Ok(GcReport { dry_run, snapshots: fates, deltas_removed, ..GcReport::default() });
    }
    publisher.note_collected(&snapshots, &fates).await?;
    kill_point(KillPoint::CollectNoted);
    bookmark_newest(zfs, volume, &fates).await;
    kill_point(KillPoint::CollectBookmarked);
    for fate in fates.iter_mut().filter(|fate| !fate.keep) {
        match zfs.destroy_snapshot(volume, &fate.name).await {
            Ok(_) => {
                tracing::info!(snapshot = %fate.name, reason = fate.reason, "snapshot removed");
                kill_point(KillPoint::CollectDestroyed);
            }
            Err(error) => {
                let error = Chain(&error).to_string();
                tracing::warn!(snapshot = %fate.name, error, "an old snapshot stays");
                fate.keep = true;
                fate.reason = error;
            }
        }
    }
    publisher.publish_all().await?;
    kill_point(KillPoint::CollectAnnounced);
    let deltas_removed = publisher.drop_unlisted().await?;
    Ok(GcReport { dry_run, snapshots: fates, deltas_removed, ..GcReport::default() })
}

/// Where ZFS has bookmarks, the newest snapshot to go leaves one: it costs nothing, and an increment
/// can still be sent from it (`zfs send -i '#NAME'`). There is never more than one.
async fn bookmark_newest(zfs: &dyn Zfs, volume: &DatasetName, fates: &[SnapshotFate]) {
    let Some(newest) = fates.iter().rfind(|fate| !fate.keep) else { return };
    if let Err(error) = zfs.bookmark(volume, &newest.name).await {
        tracing::warn!(snapshot = %newest.name, error = %Chain(&error), "no bookmark of it stays");
    }
}

/// A node needs its newest snapshot and each one after it: while it walks along the deltas, any of
/// them can be its base before it says so.
fn facts(snapshots: &[Snapshot], bases: &[(NodeName, Guid)]) -> Vec<SnapshotFacts> {
    let mut pins: Vec<Pin> = Vec::new();
    let mut facts = Vec::with_capacity(snapshots.len());
    for snapshot in snapshots {
        let here = bases.iter().filter(|(_, head)| *head == snapshot.guid);
        pins.extend(here.map(|(node, _)| Pin::BaseOf(node.clone())));
        facts.push(SnapshotFacts {
            name: snapshot.name.clone(),
            created: snapshot.created,
            pins: pins.clone(),
        });
    }
    facts
}

fn would_go(deltas: &[DeltaRecord], snapshots: &[Snapshot], fates: &[SnapshotFate]) -> Vec<String> {
    let stays = |snapshot: &&Snapshot| fates.iter().any(|fate| fate.keep && fate.name == snapshot.name);
    let kept: Vec<Snapshot> = snapshots.iter().filter(stays).cloned().collect();
    let gone = deltas.iter().filter(|delta| !has_both_ends(delta, &kept));
    gone.map(|delta| delta.file.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::register::testing::snapshot;

    #[test]
    fn a_node_that_walks_on_finds_every_snapshot_from_its_base() {
        let snapshots: Vec<Snapshot> = (1..=4).map(snapshot).collect();
        let bases = [("node1".parse().unwrap(), snapshots[1].guid)];
        let fates = retention::plan(&facts(&snapshots, &bases), clock::now(), Duration::ZERO);
        let kept: Vec<bool> = fates.iter().map(|fate| fate.keep).collect();
        assert_eq!(kept, [false, true, true, true]);
        let gone = facts(&snapshots, &[]);
        assert_eq!(
            retention::plan(&gone, clock::now(), Duration::ZERO).iter().filter(|fate| fate.keep).count(),
            1
        );
    }
}
