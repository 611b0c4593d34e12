//! Collect: snapshots that are old and needed by nobody go, and their deltas with them.

use super::VolumeError;
use super::publish::Publisher;
use crate::nodes::Nodes;
use bootstash::api::GcReport;
use bootstash::names::{DatasetName, Guid};
use bootstash::retention::{self, Pin, SnapshotFacts};
use bootstash::zfs::Zfs;
use chrono::Utc;
use std::time::Duration;

/// Destroys what `retention` lets go, or only says so.
pub(super) async fn collect(
    zfs: &dyn Zfs,
    volume: &DatasetName,
    publisher: &Publisher<'_>,
    nodes: &Nodes,
    window: Duration,
    dry_run: bool,
) -> Result<GcReport, VolumeError> {
    let bases = nodes.bases(window);
    let snapshots = zfs.snapshots(volume).await?;
    let facts: Vec<SnapshotFacts> = snapshots
        .iter()
        .map(|snapshot| SnapshotFacts {
            name: snapshot.name.clone(),
            created: snapshot.created,
            pins: pins(&bases, snapshot.guid),
        })
        .collect();
    let fates = retention::plan(&facts, Utc::now(), window);
    if !dry_run {
        for fate in fates.iter().filter(|fate| !fate.keep) {
            zfs.destroy_snapshot(volume, &fate.name).await?;
            tracing::info!(snapshot = %fate.name, reason = fate.reason, "snapshot removed");
        }
        publisher.publish_all().await?;
    }
    let deltas_removed = publisher.drop_unlisted(dry_run).await?;
    Ok(GcReport { dry_run, snapshots: fates, deltas_removed, views_removed: Vec::new() })
}

fn pins(bases: &[(bootstash::names::NodeName, Guid)], snapshot: Guid) -> Vec<Pin> {
    let here = bases.iter().filter(|(_, head)| *head == snapshot);
    here.map(|(node, _)| Pin::BaseOf(node.clone())).collect()
}
