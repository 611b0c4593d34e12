//! Looks things up.

use super::parse::{self, SNAPSHOT, STATE};
use super::probe::failure;
use super::run::Answer;
use super::stderr::{self, ZfsMessage};
use super::{CommandZfs, receive::RECEIVING_PROPERTY};
use crate::{Dataset, DedupTable, Flavor, Made, Role, Snapshot, Usage, ZfsFailure};
use bootstash_base::names::{DatasetName, SnapshotName};

const COLUMNS: &str = "name,property,value,source";

/// A file system and the snapshot it is a clone of.
pub(super) struct Found {
    pub(super) state: Dataset,
    pub(super) origin: Option<String>,
}

impl CommandZfs {
    /// Runs `zfs`.
    pub(super) async fn call(&self, args: &[&str]) -> Result<Answer, ZfsFailure> {
        self.zfs.call(args, self.limits.call).await
    }

    /// Runs `zfs`; anything but success is a failure.
    pub(super) async fn must(&self, args: &[&str]) -> Result<Answer, ZfsFailure> {
        let answer = self.call(args).await?;
        if answer.ok { Ok(answer) } else { Err(failure(answer)) }
    }

    /// Runs `zfs` on something that may not be there.
    pub(super) async fn maybe(&self, args: &[&str]) -> Result<Option<Answer>, ZfsFailure> {
        let answer = self.call(args).await?;
        match answer.ok {
            true => Ok(Some(answer)),
            false if stderr::read(&answer.stderr) == Some(ZfsMessage::Missing) => Ok(None),
            false => Err(failure(answer)),
        }
    }

    pub(super) async fn find(&self, name: &DatasetName) -> Result<Option<Found>, ZfsFailure> {
        let args = ["get", "-H", "-p", "-o", COLUMNS, STATE, name.as_str()];
        let Some(answer) = self.maybe(&args).await? else { return Ok(None) };
        let (mut state, origin) = parse::dataset(name, &answer.command, &answer.stdout)?;
        if state.role.is_none() && self.announced(name).await? {
            state.role = Some(Role::Volume);
        }
        Ok(Some(Found { state, origin }))
    }

    /// Whether a receive of ours was to make this file system and ended before it could mark it.
    async fn announced(&self, name: &DatasetName) -> Result<bool, ZfsFailure> {
        let Some(parent) = name.parent() else { return Ok(false) };
        let args = ["get", "-H", "-p", "-o", COLUMNS, RECEIVING_PROPERTY, parent.as_str()];
        let answer = self.maybe(&args).await?;
        Ok(answer.is_some_and(|a| parse::local_value(&a.stdout, RECEIVING_PROPERTY) == Some(name.leaf())))
    }

    pub(super) async fn list_children(&self, parent: &DatasetName) -> Result<Vec<DatasetName>, ZfsFailure> {
        // Names with characters that we do not take belong to somebody else.
        let mut children: Vec<DatasetName> =
            self.child_names(parent).await?.iter().filter_map(|name| name.parse().ok()).collect();
        children.sort();
        Ok(children)
    }

    pub(super) async fn child_names(&self, parent: &DatasetName) -> Result<Vec<String>, ZfsFailure> {
        let args = ["list", "-H", "-o", "name", "-t", "filesystem,volume", "-r", "-d", "1", parent.as_str()];
        let Some(answer) = self.maybe(&args).await? else { return Ok(Vec::new()) };
        Ok(answer.stdout.lines().filter(|name| *name != parent.as_str()).map(str::to_owned).collect())
    }

    pub(super) async fn list_snapshots(&self, of: &DatasetName) -> Result<Vec<Snapshot>, ZfsFailure> {
        let args = ["get", "-H", "-p", "-r", "-d", "1", "-o", COLUMNS, SNAPSHOT, of.as_str()];
        match self.maybe(&args).await? {
            Some(answer) => parse::snapshots(&answer.command, &answer.stdout),
            None => Ok(Vec::new()),
        }
    }

    pub(crate) async fn find_snapshot(
        &self,
        of: &DatasetName,
        name: &SnapshotName,
    ) -> Result<Option<Snapshot>, ZfsFailure> {
        let full = format!("{of}@{name}");
        let Some(answer) = self.maybe(&["get", "-H", "-p", "-o", COLUMNS, SNAPSHOT, &full]).await? else {
            return Ok(None);
        };
        Ok(parse::snapshots(&answer.command, &answer.stdout)?.pop())
    }

    /// Where each figure comes from:
    /// - logical: `logicalused` on OpenZFS; zfs-fuse has it not, and there it is `used` (which counts
    ///   before deduplication, after compression) times `compressratio`, good to two decimals;
    /// - used: the pool's `allocated`; exact on OpenZFS, three digits on zfs-fuse;
    /// - available: the file system's `available`, exact on both;
    /// - ratios: the pool's `dedupratio`, the file system's `compressratio`; two decimals each.
    pub(super) async fn measure(&self, of: &DatasetName) -> Result<Usage, ZfsFailure> {
        let open = self.capabilities.flavor == Flavor::OpenZfs;
        let wanted =
            if open { "available,compressratio,used,logicalused" } else { "available,compressratio,used" };
        let answer = self.must(&["get", "-H", "-p", "-o", COLUMNS, wanted, of.as_str()]).await?;
        let wrong = |wanted| parse::answer(&answer.command, &answer.stdout, wanted);
        let table = parse::table(&answer.stdout);
        let text = |property| table.get(of.as_str()).and_then(|found| found.get(property)).map(|v| v.text);
        let number = |property, wanted| text(property).and_then(parse::bytes).ok_or_else(|| wrong(wanted));
        let compress_ratio =
            text("compressratio").and_then(parse::ratio).ok_or_else(|| wrong("compression ratio"))?;
        let logical_bytes = match open {
            true => number("logicalused", "logical size")?,
            false => scaled(number("used", "used size")?, compress_ratio),
        };
        let available_bytes = number("available", "available size")?;
        let (used_bytes, dedup_ratio) = self.measure_pool(of).await?;
        let dedup_table = self.measure_dedup_table(of).await?;
        Ok(Usage { logical_bytes, used_bytes, available_bytes, dedup_ratio, compress_ratio, dedup_table })
    }

    async fn measure_dedup_table(&self, of: &DatasetName) -> Result<Option<DedupTable>, ZfsFailure> {
        if !self.capabilities.dedup_table {
            return Ok(None);
        }
        let args = ["get", "-H", "-p", "-o", "value", "dedup_table_size,dedup_table_quota", of.pool()];
        let answer = self.zpool.call(&args, self.limits.call).await?;
        if !answer.ok {
            return Err(failure(answer));
        }
        parse::dedup_table(&answer.command, &answer.stdout).map(Some)
    }

    /// ZFS gives up by itself what does not fit into memory.
    pub(super) async fn load_dedup_table(&self, of: &DatasetName) -> Result<Made, ZfsFailure> {
        if !self.capabilities.dedup_table {
            return Ok(Made::Unchanged);
        }
        let answer = self.zpool.call(&["prefetch", "-t", "ddt", of.pool()], self.limits.call).await?;
        if answer.ok { Ok(Made::Created) } else { Err(failure(answer)) }
    }

    async fn measure_pool(&self, of: &DatasetName) -> Result<(u64, f64), ZfsFailure> {
        let flags = if self.capabilities.parsable_list { "-Hp" } else { "-H" };
        let args = ["list", flags, "-o", "allocated,dedupratio", of.pool()];
        let answer = self.zpool.call(&args, self.limits.call).await?;
        if !answer.ok {
            return Err(failure(answer));
        }
        let wrong = || parse::answer(&answer.command, &answer.stdout, "allocated size and dedup ratio");
        let (allocated, ratio) = answer.stdout.trim().split_once('\t').ok_or_else(wrong)?;
        Ok((parse::bytes(allocated).ok_or_else(wrong)?, parse::ratio(ratio).ok_or_else(wrong)?))
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
fn scaled(bytes: u64, ratio: f64) -> u64 {
    (bytes as f64 * ratio) as u64
}
