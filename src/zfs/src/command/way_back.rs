//! The command that brings a volume back to its newest snapshot: for one that others wrote to, or whose newest
//! snapshot they destroyed. Only named, never run: what it discards may be all that somebody has.

use super::{CommandZfs, parse};
use crate::{ReceiveError, ZfsFailure};
use bootstash_base::names::{DatasetName, SnapshotName};

const COLUMNS: &str = "name,property,value,source";

/// What stands at the end of a file system's history.
#[derive(Debug, PartialEq, Eq)]
struct End {
    /// The newest snapshot that bootstash took.
    newest: SnapshotName,
    /// Somebody took another one since.
    has_later: bool,
}

impl CommandZfs {
    /// A refusal of a changed volume with the command that mends it; any other as it is.
    pub(super) async fn with_way_back(&self, refusal: ReceiveError) -> ReceiveError {
        let (into, modified) = match &refusal {
            ReceiveError::Modified { into, .. } => (into.clone(), true),
            // The base is there: a later snapshot of somebody else's is what ZFS takes for the newest.
            ReceiveError::WrongBase { into } => (into.clone(), false),
            _ => return refusal,
        };
        match self.end_of(&into).await {
            Ok(Some(end)) if modified || end.has_later => {
                ReceiveError::Modified { mend: way_back(&into, &end), into }
            }
            _ => refusal,
        }
    }

    async fn end_of(&self, of: &DatasetName) -> Result<Option<End>, ZfsFailure> {
        let args = ["get", "-H", "-p", "-r", "-d", "1", "-o", COLUMNS, "createtxg", of.as_str()];
        Ok(self.maybe(&args).await?.and_then(|answer| end(&answer.stdout)))
    }
}

fn end(listed: &str) -> Option<End> {
    let mut snapshots: Vec<(u64, &str)> = Vec::new();
    for (name, properties) in &parse::table(listed) {
        let txg = properties.get("createtxg").and_then(|value| value.text.parse().ok());
        snapshots.extend(txg.zip(name.split_once('@').map(|(_, name)| name)));
    }
    snapshots.sort_unstable();
    let newest = snapshots.iter().rev().find_map(|(_, name)| name.parse::<SnapshotName>().ok())?;
    let has_later = snapshots.last().is_some_and(|(_, last)| *last != newest.as_str());
    Some(End { newest, has_later })
}

/// It is not unmounted first: right after that, zfs-fuse refuses with an I/O error.
fn way_back(of: &DatasetName, end: &End) -> String {
    let later = if end.has_later { "-r " } else { "" };
    format!("zfs rollback {later}{of}@{}", end.newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(names: &[(&str, u64)]) -> Option<End> {
        let line = |(name, txg): &(&str, u64)| format!("t/v@{name}\tcreatetxg\t{txg}\t-\n");
        end(&(names.iter().map(line).collect::<String>() + "t/v\tcreatetxg\t99\t-\n"))
    }

    #[test]
    fn it_leads_to_the_newest_of_ours_past_what_others_took() {
        let (first, second) = ("bs-000001-20261121T101530Z", "bs-000002-20261121T101530Z");
        let of = "t/v".parse().unwrap();
        let ours = found(&[(second, 20), (first, 10)]).unwrap();
        assert_eq!(way_back(&of, &ours), format!("zfs rollback t/v@{second}"));
        let earlier = found(&[(second, 20), ("daily", 15)]).unwrap();
        assert_eq!(way_back(&of, &earlier), format!("zfs rollback t/v@{second}"));
        let later = found(&[(first, 10), ("daily", 15)]).unwrap();
        assert_eq!(way_back(&of, &later), format!("zfs rollback -r t/v@{first}"));
        assert_eq!((found(&[("daily", 15)]), found(&[])), (None, None));
    }
}
