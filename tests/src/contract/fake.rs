//! The fake's ground.

use super::bed::{Bed, Ground};
use anyhow::Result;
use bootstash_base::names::{DatasetName, SnapshotName};
use bootstash_zfs::fake::FakeZfs;
use bootstash_zfs::{Property, SNAPSHOT_ROLE};
use std::path::{Path, PathBuf};
use std::sync::Arc;

struct FakeGround(Arc<FakeZfs>);

/// A bed over a fake of its own.
#[cfg_attr(not(test), allow(dead_code, reason = "the lib's own tests run over the fake"))]
pub(super) async fn bed(dir: &Path) -> Result<Bed> {
    let fake = Arc::new(FakeZfs::new());
    let ground = Arc::new(FakeGround(Arc::clone(&fake)));
    Bed::make(fake, "tank/case".parse()?, dir.to_owned(), ground).await
}

impl Ground for FakeGround {
    fn outside(&self, inside: &Path) -> PathBuf {
        inside.to_owned()
    }

    fn make_foreign(&self, name: &DatasetName) -> Result<()> {
        self.0.insert_foreign(name);
        Ok(())
    }

    fn property(&self, name: &DatasetName, property: &str) -> Result<String> {
        let set = self.0.properties(name);
        let value =
            |property, value: &str| if set.contains(&property) { value.to_owned() } else { String::new() };
        Ok(match property {
            "dedup" => value(Property::Dedup, "on"),
            "compression" => value(Property::Compression, "zstd"),
            "recordsize" => value(Property::RecordSize64K, "65536"),
            "atime" => value(Property::NoAtime, "off"),
            "readonly" => value(Property::ReadOnly, "on"),
            _ => String::new(),
        })
    }

    fn snapshot_property(&self, _: &DatasetName, _: &SnapshotName, _: &str) -> Result<String> {
        Ok(SNAPSHOT_ROLE.to_owned())
    }

    fn take_foreign(&self, of: &DatasetName, name: &str) -> Result<()> {
        self.0.take_foreign_snapshot(of, name);
        Ok(())
    }

    fn set_quota(&self, name: &DatasetName, bytes: u64) -> Result<()> {
        self.0.set_quota(name, bytes);
        Ok(())
    }

    fn cramped(&self) -> Result<DatasetName> {
        self.0.set_capacity("cramped", 30_000_000);
        Ok("cramped".parse()?)
    }
}
