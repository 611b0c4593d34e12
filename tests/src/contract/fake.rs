//! The fixture over the fake.

use super::fixture::{DirectAccess, Fixture};
use anyhow::Result;
use bootstash_base::names::{DatasetName, SnapshotName};
use bootstash_zfs::fake::FakeZfs;
use bootstash_zfs::{Property, SNAPSHOT_ROLE};
use std::path::{Path, PathBuf};
use std::sync::Arc;

struct FakeAccess(Arc<FakeZfs>);

/// A fixture over a fake of its own.
#[cfg_attr(not(test), allow(dead_code, reason = "the lib's own tests run over the fake"))]
pub(super) async fn fixture(dir: &Path) -> Result<Fixture> {
    let fake = Arc::new(FakeZfs::new());
    let direct = Arc::new(FakeAccess(Arc::clone(&fake)));
    Fixture::make(fake, "tank/case".parse()?, dir.to_owned(), direct).await
}

impl DirectAccess for FakeAccess {
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
