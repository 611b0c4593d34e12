//! What a cut receive leaves, and the stream that goes on with it. OpenZFS alone has it.
//!
//! Promises: a token from anybody sends nothing but a snapshot of the file system that was named.

use super::CommandZfs;
use super::probe::failure;
use super::stderr::{self, ZfsMessage};
use crate::{ByteStream, Flavor, ReceiveError, Removed, ResumeToken, Role, SendError, ZfsFailure};
use bootstash_base::names::{DatasetName, SnapshotName};

impl CommandZfs {
    pub(super) async fn find_partial(&self, of: &DatasetName) -> Result<Option<ResumeToken>, ZfsFailure> {
        if !self.capabilities.resumable_receive {
            return Ok(None);
        }
        let args = ["get", "-H", "-p", "-o", "value", "receive_resume_token", of.as_str()];
        let Some(answer) = self.maybe(&args).await? else { return Ok(None) };
        Ok(answer.stdout.trim().parse().ok())
    }

    pub(super) async fn abandon(&self, of: &DatasetName) -> Result<Removed, ReceiveError> {
        let other = |source| ReceiveError::Other { into: of.clone(), source };
        let lock = self.lock(of).await?;
        if self.find_partial(of).await.map_err(other)?.is_none() {
            return Ok(Removed::Unchanged);
        }
        let found = self.find(of).await.map_err(other)?;
        if found.is_some_and(|found| found.state.role != Some(Role::Volume)) {
            return Err(ReceiveError::Foreign { into: of.clone() });
        }
        let aborted = self.must(&["receive", "-A", of.as_str()]).await;
        drop(lock);
        aborted.map_err(other)?;
        Ok(Removed::Removed)
    }

    pub(super) async fn resume_send(
        &self,
        of: &DatasetName,
        token: &ResumeToken,
    ) -> Result<(SnapshotName, ByteStream), SendError> {
        let other = |source| SendError::Other { of: of.clone(), source };
        let stale = || SendError::Stale { of: of.clone() };
        if !self.capabilities.resumable_receive {
            return Err(stale());
        }
        let looked = self.call(&["send", "-n", "-v", "-P", "-t", token.as_str()]).await.map_err(other)?;
        // Where it prints what the token says differs between versions.
        let said = format!("{}\n{}", looked.stdout, looked.stderr);
        match stderr::read(&looked.stderr) {
            _ if looked.ok => {
                let name = snapshot_of(&said, of).ok_or_else(stale)?;
                Ok((name, self.stream(&["send", "-t", token.as_str()]).map_err(other)?))
            }
            Some(ZfsMessage::Stale | ZfsMessage::Missing) => Err(stale()),
            _ => Err(other(failure(looked))),
        }
    }

    pub(super) async fn estimate(
        &self,
        of: &DatasetName,
        from: Option<&SnapshotName>,
        to: &SnapshotName,
    ) -> Result<Option<u64>, SendError> {
        if self.capabilities.flavor == Flavor::ZfsFuse {
            return Ok(None);
        }
        let (base, target) = (from.map(|from| format!("@{from}")), format!("{of}@{to}"));
        let mut args = vec!["send", "-n", "-v", "-P"];
        args.extend(base.iter().flat_map(|base| ["-i", base.as_str()]));
        args.push(&target);
        let answer = self.call(&args).await.map_err(|source| SendError::Other { of: of.clone(), source })?;
        match stderr::read(&answer.stderr) {
            _ if answer.ok => Ok(size_in(&format!("{}\n{}", answer.stdout, answer.stderr))),
            Some(ZfsMessage::Missing) => Err(SendError::Missing { of: of.clone(), snapshot: to.clone() }),
            _ => Err(SendError::Other { of: of.clone(), source: failure(answer) }),
        }
    }
}

/// The snapshot that `zfs send -nvPt` would send, if it is one of `of` that bootstash named. The name
/// in the token itself is only what its maker wrote: ZFS goes by the GUID, through the whole pool, and
/// what that leads to stands in the line with the size.
fn snapshot_of(said: &str, of: &DatasetName) -> Option<SnapshotName> {
    let mut sent = said.lines().filter_map(|line| match line.split('\t').collect::<Vec<_>>()[..] {
        ["full", to, _] | ["incremental", _, to, _] => Some(to),
        _ => None,
    });
    let (file_system, snapshot) = sent.next()?.split_once('@')?;
    let ours = file_system == of.as_str() && sent.next().is_none();
    ours.then(|| snapshot.parse().ok()).flatten()
}

/// The last line of `zfs send -nvP`: `size`, a tab, a number.
fn size_in(said: &str) -> Option<u64> {
    said.lines().rev().find_map(|line| line.strip_prefix("size\t")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "resume token contents:\nnvlist version: 0\n\tobject = 0x2\n\toffset = 0x2c0000\n\
        \tbytes = 0x2d40d8\n\ttoguid = 0xf01c044c89e25d76\n\ttoname = tank/v@bs-000001-20261121T101530Z\n\
        full\ttank/v@bs-000001-20261121T101530Z\t5498264\nsize\t5498264\n";

    #[test]
    fn a_token_of_another_file_system_is_not_ours() {
        let of = |name: &str| name.parse::<DatasetName>().unwrap();
        assert_eq!(snapshot_of(SAID, &of("tank/v")).unwrap().number(), 1);
        assert_eq!(snapshot_of(SAID, &of("tank/other")), None);
        let private = SAID.replace("bs-000001-20261121T101530Z\t", "private\t");
        assert_eq!(snapshot_of(&private, &of("tank/v")), None);
        assert_eq!(snapshot_of(&format!("{SAID}{SAID}"), &of("tank/v")), None);
        assert_eq!(snapshot_of("", &of("tank/v")), None);
        // Our name in the token, and the GUID of somebody else's snapshot.
        let forged = SAID.replace("full\ttank/v@", "full\ttank/private@");
        assert_eq!(snapshot_of(&forged, &of("tank/v")), None);
        let rest = SAID.replace("full\t", "incremental\tbs-000000\t");
        assert_eq!(snapshot_of(&rest, &of("tank/v")).unwrap().number(), 1);
    }

    #[test]
    fn reads_the_size() {
        assert_eq!(size_in(SAID), Some(5_498_264));
        assert_eq!(size_in("full\ta\t1\n"), None);
    }
}
