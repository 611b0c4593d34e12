//! Generations: a volume that no delta brings up to date is received anew beside the one that is there,
//! which goes on serving overlays until nobody needs it.
//!
//! Promises: the newest generation with a snapshot is the node's volume, so a receive that breaks off
//! changes nothing; one that was replaced goes only when no view stands on it, and one that the
//! registrar does not know only by hand.

use crate::layout::Layout;
use bootstash_base::names::{DatasetName, NameError, SnapshotName};
use bootstash_zfs::{ReadError, Snapshot, Zfs};

/// One of a node's volumes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Generation {
    pub(super) number: u32,
    pub(super) dataset: DatasetName,
    pub(super) snapshots: Vec<Snapshot>,
}

/// A node's volumes, in order; there need not be any.
#[derive(Clone, Debug, Default)]
pub(super) struct Generations(Vec<Generation>);

impl Generations {
    /// What is there.
    pub(super) async fn find(zfs: &dyn Zfs, layout: &Layout) -> Result<Self, ReadError> {
        let mut found = Vec::new();
        for dataset in zfs.children(&layout.root).await? {
            if let Some(number) = Layout::generation_of(&dataset) {
                let snapshots = zfs.snapshots(&dataset).await?;
                found.push(Generation { number, dataset, snapshots });
            }
        }
        found.sort_by_key(|generation| generation.number);
        Ok(Self(found))
    }

    /// The node's volume: the newest that is whole.
    pub(super) fn current(&self) -> Option<&Generation> {
        self.0.iter().rfind(|generation| !generation.snapshots.is_empty())
    }

    /// The snapshots of the node's volume.
    pub(super) fn snapshots(&self) -> &[Snapshot] {
        self.current().map_or(&[], |current| &current.snapshots)
    }

    /// The numbers of all.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> {
        self.0.iter().map(|generation| generation.number)
    }

    /// Those before the current one.
    pub(super) fn replaced(&self) -> impl Iterator<Item = &Generation> {
        let current = self.current().map_or(0, |current| current.number);
        self.0.iter().filter(move |generation| generation.number < current)
    }

    /// One that a cut receive has begun.
    pub(super) fn partially_received(&self) -> Option<&Generation> {
        self.0.last().filter(|newest| newest.snapshots.is_empty())
    }

    /// Where a full stream is received: what a cut one has begun, or else a place of its own.
    pub(super) fn incoming(&self, layout: &Layout) -> Result<DatasetName, NameError> {
        let newest = self.0.last().map_or(0, |newest| newest.number);
        self.partially_received()
            .map_or_else(|| layout.generation(newest + 1), |begun| Ok(begun.dataset.clone()))
    }

    /// Those that have a snapshot of this name, the current one first.
    pub(super) fn with_snapshot<'a>(
        &'a self,
        name: &'a SnapshotName,
    ) -> impl Iterator<Item = &'a Generation> {
        let holds = |generation: &&Generation| generation.snapshots.iter().any(|it| it.name == *name);
        self.0.iter().rev().filter(holds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bootstash_zfs::fake::FakeZfs;
    use bootstash_zfs::{NewDataset, Role};

    fn layout() -> Layout {
        crate::testing::Node::new().layout()
    }

    async fn make(zfs: &FakeZfs, name: &str, snapshots: u64) {
        let name: DatasetName = format!("tank/bootstash/{name}").parse().unwrap();
        let role = Role::Volume;
        zfs.create(&name, &NewDataset { role, mountpoint: None, properties: Vec::new() }).await.unwrap();
        for number in 0..snapshots {
            let snapshot = SnapshotName::new(number + 1, chrono::DateTime::UNIX_EPOCH);
            zfs.snapshot(&name, &snapshot).await.unwrap();
        }
    }

    async fn found(volumes: &[(&str, u64)]) -> Generations {
        let zfs = FakeZfs::new();
        let root = NewDataset { role: Role::Root, mountpoint: None, properties: Vec::new() };
        zfs.create(&"tank/bootstash".parse().unwrap(), &root).await.unwrap();
        for (name, snapshots) in volumes {
            make(&zfs, name, *snapshots).await;
        }
        Generations::find(&zfs, &layout()).await.unwrap()
    }

    #[tokio::test]
    async fn the_newest_whole_one_is_the_volume() {
        for (volumes, current, replaced, incoming) in [
            (&[][..], None, 0, "volume"),
            (&[("volume", 0)], None, 0, "volume"),
            (&[("volume", 2), ("views", 0)], Some(1), 0, "volume-2"),
            (&[("volume", 2), ("volume-2", 0)], Some(1), 0, "volume-2"),
            (&[("volume", 2), ("volume-2", 1)], Some(2), 1, "volume-3"),
            (
                &[("volume-9", 1), ("volume-10", 1), ("volume-x", 1), ("volume-1", 1)],
                Some(10),
                1,
                "volume-11",
            ),
        ] {
            let found = found(volumes).await;
            assert_eq!(found.current().map(|current| current.number), current, "{volumes:?}");
            assert_eq!(found.replaced().count(), replaced, "{volumes:?}");
            assert_eq!(found.incoming(&layout()).unwrap().leaf(), incoming, "{volumes:?}");
        }
    }
}
