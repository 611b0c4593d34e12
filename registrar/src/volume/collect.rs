//! Collect: snapshots that are old and needed by nobody go, and their deltas with them.

use super::VolumeError;
use super::log::has_both_ends;
use super::publish::Publisher;
use bootstash_base::clock;
use bootstash_base::error::Chain;
use bootstash_base::kill_point::{KillPoint, kill_point};
use bootstash_base::names::{Guid, NodeName};
use bootstash_delta::DeltaRecord;
use bootstash_delta::replication::{ROW_MAX, expired_combined};
use bootstash_delta::retention;
use bootstash_delta::retention::SnapshotFate;
use bootstash_delta::retention::{Keep, Pin, SnapshotFacts};
use bootstash_net::api::GcReport;
use bootstash_zfs::Snapshot;
use std::collections::HashSet;

/// Destroys what `retention` lets go, or only says so. `bases` are the newest snapshots of the nodes
/// that count. A snapshot that somebody else holds on to stays, and does not stop the rest.
pub(super) async fn collect(
    publisher: &mut Publisher,
    bases: &[(NodeName, Guid)],
    keep: Keep,
    dry_run: bool,
) -> Result<GcReport, VolumeError> {
    // Now and then it is well to look whether what is known is so.
    publisher.forget();
    let snapshots = publisher.snapshots().await?.to_vec();
    let mut fates = retention::plan(&facts(&snapshots, bases), clock::now(), keep);
    let heads = bases.iter().map(|(_, head)| *head).collect();
    if dry_run {
        let mut deltas_removed = would_go(&publisher.scan().await?, &snapshots, &fates);
        let expired = expired_combined(&publisher.log.now(), &heads).into_iter();
        deltas_removed.extend(expired.filter(|file| !deltas_removed.contains(file)).collect::<Vec<_>>());
        return Ok(GcReport { dry_run, snapshots: fates, deltas_removed, ..GcReport::default() });
    }
    publisher.note_collected(&snapshots, &fates).await?;
    kill_point(KillPoint::CollectNoted);
    publisher.bookmark_newest(&fates).await;
    kill_point(KillPoint::CollectBookmarked);
    for fate in fates.iter_mut().filter(|fate| !fate.keep) {
        match publisher.destroy_snapshot(&fate.name).await {
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
    publisher.forget();
    publisher.publish_all().await?;
    kill_point(KillPoint::CollectAnnounced);
    let mut deltas_removed = publisher.drop_unlisted().await?;
    deltas_removed.extend(publisher.drop_expired_combined(&heads).await?);
    Ok(GcReport { dry_run, snapshots: fates, deltas_removed, ..GcReport::default() })
}

/// A node needs its newest snapshot and the next ones: while it walks along the deltas, any of them can be its base
/// before it says so. Of those further ahead it can do without, as one increment leads it past them.
fn facts(snapshots: &[Snapshot], bases: &[(NodeName, Guid)]) -> Vec<SnapshotFacts> {
    let mut behind: Vec<(usize, &NodeName)> = Vec::new();
    let mut facts = Vec::with_capacity(snapshots.len());
    for (at, snapshot) in snapshots.iter().enumerate() {
        let here = bases.iter().filter(|(_, head)| *head == snapshot.guid);
        behind.extend(here.map(|(node, _)| (at, node)));
        let pin = |(base, node): &(usize, &NodeName)| match at - base {
            0..=ROW_MAX => Pin::BaseOf((*node).clone()),
            _ => Pin::Ahead((*node).clone()),
        };
        facts.push(SnapshotFacts {
            name: snapshot.name.clone(),
            created: snapshot.created,
            pins: behind.iter().map(pin).collect(),
        });
    }
    facts
}

fn would_go(deltas: &[DeltaRecord], snapshots: &[Snapshot], fates: &[SnapshotFate]) -> Vec<String> {
    let stays = |snapshot: &&Snapshot| fates.iter().any(|fate| fate.keep && fate.name == snapshot.name);
    let kept: HashSet<Guid> = snapshots.iter().filter(stays).map(|snapshot| snapshot.guid).collect();
    let gone = deltas.iter().filter(|delta| !has_both_ends(delta, &kept));
    gone.map(|delta| delta.file.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::register::testing::snapshot;
    use std::time::Duration;

    #[test]
    fn a_node_that_walks_on_finds_every_snapshot_from_its_base() {
        let snapshots: Vec<Snapshot> = (1..=4).map(snapshot).collect();
        let bases = [("node1".parse().unwrap(), snapshots[1].guid)];
        let fates = retention::plan(&facts(&snapshots, &bases), clock::now(), Duration::ZERO);
        let kept: Vec<bool> = fates.iter().map(|fate| fate.keep).collect();
        assert_eq!(kept, [false, true, true, true]);
        let many: Vec<Snapshot> = (1..=20).map(snapshot).collect();
        let keep = Keep { window: Duration::from_secs(1 << 40), snapshots_max: 5 };
        let fates =
            retention::plan(&facts(&many, &[("node1".parse().unwrap(), many[1].guid)]), clock::now(), keep);
        let kept = fates.iter().filter(|fate| fate.keep).map(|fate| fate.name.number());
        // Its base and the deltas it may be walking along, and the newest.
        assert_eq!(kept.collect::<Vec<_>>(), [2, 3, 4, 5, 6, 16, 17, 18, 19, 20]);
        let gone = facts(&snapshots, &[]);
        assert_eq!(
            retention::plan(&gone, clock::now(), Duration::ZERO).iter().filter(|fate| fate.keep).count(),
            1
        );
    }
}
