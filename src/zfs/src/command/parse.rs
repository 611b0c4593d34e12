//! Reads the columns that `zfs get -Hp` and `zpool list -H` print. Pure.

use crate::{Dataset, DedupTable, OWNER_PROPERTY, ROLE_PROPERTY, Snapshot, ZfsFailure};
use bootstash_base::names::{DatasetName, Guid, SnapshotName};
use chrono::DateTime;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What we ask of a file system.
pub(super) const STATE: &str = "guid,type,org.bootstash:role,org.bootstash:owner,mountpoint,mounted,origin";
/// What we ask of a snapshot.
pub(super) const SNAPSHOT: &str = "guid,createtxg,creation";

/// A value and where it was set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'a> {
    pub(super) text: &'a str,
    local: bool,
}

/// The properties of one object, out of `-o name,property,value,source`.
pub(super) type Table<'a> = BTreeMap<&'a str, BTreeMap<&'a str, Value<'a>>>;

/// Reads the lines of `zfs get -Hp -o name,property,value,source`. Lines of another shape are left out.
pub(super) fn table(stdout: &str) -> Table<'_> {
    let mut table = Table::new();
    for line in stdout.lines() {
        let mut columns = line.splitn(4, '\t');
        if let (Some(name), Some(property), Some(text), Some(source)) =
            (columns.next(), columns.next(), columns.next(), columns.next())
        {
            let value = Value { text, local: source == "local" };
            table.entry(name).or_default().insert(property, value);
        }
    }
    table
}

/// A file system's state and, for a clone, the snapshot it was made of.
pub(super) fn dataset(
    name: &DatasetName,
    command: &str,
    stdout: &str,
) -> Result<(Dataset, Option<String>), ZfsFailure> {
    let table = table(stdout);
    let wrong = |wanted| answer(command, stdout, wanted);
    let found = table.get(name.as_str()).ok_or_else(|| wrong("state of a file system"))?;
    let text = |property| found.get(property).map(|value| value.text);
    let guid: Guid = text("guid").and_then(|text| text.parse().ok()).ok_or_else(|| wrong("GUID"))?;
    let set = |property| found.get(property).filter(|value| value.local).map(|value| value.text);
    let role = set(ROLE_PROPERTY).and_then(|text| text.parse().ok());
    let owner = set(OWNER_PROPERTY).map(str::to_owned);
    let mountpoint = text("mountpoint").filter(|path| path.starts_with('/')).map(PathBuf::from);
    let mounted = text("mounted") == Some("yes");
    let state = Dataset { name: name.clone(), guid, role, owner, mountpoint, mounted };
    Ok((state, text("origin").filter(|origin| origin.contains('@')).map(str::to_owned)))
}

/// The size of the deduplication table and its quota: a number, `none`, or `auto` (which is none where
/// the pool has no device for the table alone).
pub(super) fn dedup_table(command: &str, stdout: &str) -> Result<DedupTable, ZfsFailure> {
    let wrong = || answer(command, stdout, "size and quota of the deduplication table");
    let (bytes, quota) = stdout.trim().split_once('\n').ok_or_else(wrong)?;
    let bytes = bytes.trim().parse().map_err(|_| wrong())?;
    Ok(DedupTable { bytes, quota_bytes: quota.trim().parse().ok().filter(|&quota: &u64| quota < u64::MAX) })
}

/// The value of a property, where it was set on the object itself.
pub(super) fn local_value<'a>(stdout: &'a str, property: &str) -> Option<&'a str> {
    let table = table(stdout);
    let value = *table.values().next()?.get(property)?;
    value.local.then_some(value.text)
}

/// The snapshots with names of ours, in the order in which they came to be.
pub(super) fn snapshots(command: &str, stdout: &str) -> Result<Vec<Snapshot>, ZfsFailure> {
    let mut found = Vec::new();
    for (name, properties) in table(stdout) {
        let Some(name) = name.split_once('@').and_then(|(_, name)| name.parse::<SnapshotName>().ok()) else {
            continue;
        };
        let number =
            |property: &str| properties.get(property).and_then(|value| value.text.parse::<u64>().ok());
        let wrong = |wanted| answer(command, name.as_str(), wanted);
        let guid = number("guid").map(Guid::new).ok_or_else(|| wrong("snapshot with a GUID"))?;
        let txg = number("createtxg").ok_or_else(|| wrong("snapshot with a createtxg"))?;
        let created = number("creation")
            .and_then(|seconds| DateTime::from_timestamp(i64::try_from(seconds).ok()?, 0))
            .ok_or_else(|| wrong("snapshot with a time"))?;
        found.push((txg, Snapshot { name, guid, created }));
    }
    // The name orders what was made within one transaction group.
    found.sort_by(|a, b| (a.0, &a.1.name).cmp(&(b.0, &b.1.name)));
    Ok(found.into_iter().map(|(_, snapshot)| snapshot).collect())
}

/// `1.31x` (zfs-fuse, and OpenZFS without -p) or `1.31`.
pub(super) fn ratio(text: &str) -> Option<f64> {
    text.trim().trim_end_matches('x').parse().ok()
}

/// `94.9M` or an exact number. With a suffix it is as exact as three digits are.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    if let Ok(exact) = text.parse() {
        return Some(exact);
    }
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let power = "BKMGTPE".find(unit)?;
    let value = number.parse::<f64>().ok()? * 1024_f64.powi(i32::try_from(power).ok()?);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    (value >= 0.0).then_some(value as u64)
}

/// An answer that cannot be read.
pub(super) fn answer(command: &str, got: &str, wanted: &'static str) -> ZfsFailure {
    ZfsFailure::Answer { command: command.to_owned(), got: got.chars().take(200).collect(), wanted }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Role;

    #[test]
    fn counts_a_role_only_where_it_was_set() {
        let name: DatasetName = "tank/b/v".parse().unwrap();
        let with = |source: &str| {
            format!(
                "tank/b/v\tguid\t17579202108657413800\t-\ntank/b/v\torg.bootstash:role\tvolume\t{source}\n\
                 tank/b/v\tmountpoint\tnone\tdefault\ntank/b/v\tmounted\tno\t-\ntank/b/v\torigin\t-\t-\n"
            )
        };
        let (state, origin) = dataset(&name, "zfs get", &with("local")).unwrap();
        assert_eq!(state.role, Some(Role::Volume));
        assert_eq!(state.guid, Guid::new(17_579_202_108_657_413_800));
        assert_eq!((state.mountpoint, state.mounted, origin), (None, false, None));
        assert_eq!(dataset(&name, "zfs get", &with("inherited from tank/b")).unwrap().0.role, None);
    }

    #[test]
    fn counts_an_owner_only_where_it_was_set() {
        let name: DatasetName = "tank/b".parse().unwrap();
        let with = |owner: &str| {
            let text = format!("tank/b\tguid\t7\t-\ntank/b\torg.bootstash:owner\t{owner}\n");
            dataset(&name, "zfs get", &text).unwrap().0.owner
        };
        assert_eq!(with("agent:c17\tlocal").as_deref(), Some("agent:c17"));
        assert_eq!((with("agent:c17\tinherited from tank"), with("-\t-")), (None, None));
    }

    #[test]
    fn orders_snapshots_by_transaction_and_leaves_out_strangers() {
        let line = |name: &str, txg: u64| {
            format!(
                "t/v@{name}\tguid\t{txg}\t-\nt/v@{name}\tcreatetxg\t{txg}\t-\nt/v@{name}\tcreation\t1795265246\t-\n"
            )
        };
        let text = line("bs-000001-20261121T101530Z", 90)
            + &line("daily", 50)
            + &line("bs-000002-20261121T101530Z", 7);
        let numbers: Vec<_> = snapshots("zfs get", &text).unwrap().iter().map(|s| s.name.number()).collect();
        assert_eq!(numbers, [2, 1]);
    }

    #[test]
    fn reads_the_dedup_table() {
        let read = |text| dedup_table("zpool get", text).ok();
        let table = |bytes, quota_bytes| Some(DedupTable { bytes, quota_bytes });
        assert_eq!(read("983040\nauto\n"), table(983_040, None));
        assert_eq!(read("983040\n1048576\n"), table(983_040, Some(1_048_576)));
        assert_eq!(read("0\nnone\n"), table(0, None));
        assert_eq!((read("-\nauto\n"), read("")), (None, None));
    }

    #[test]
    fn reads_sizes_of_both_kinds() {
        assert_eq!(bytes("273821696"), Some(273_821_696));
        assert_eq!(bytes("1.50M"), Some(1_572_864));
        assert_eq!(bytes("0"), Some(0));
        assert_eq!((bytes("-"), bytes(""), bytes("M")), (None, None, None));
        assert_eq!((ratio("1.15x"), ratio("111.32"), ratio("-")), (Some(1.15), Some(111.32), None));
    }
}
