//! The verbs of the trait, as the daemons use them: with the looking before and after that makes them
//! idempotent and typed.

use super::table::Round;
use anyhow::{Result, ensure};
use bootstash_base::names::{DatasetName, SnapshotName};
use bootstash_zfs::{Removed, Zfs};
use std::time::Instant;
use tokio::io::AsyncReadExt;

/// Takes, sends and destroys a snapshot.
pub(super) async fn over(zfs: &dyn Zfs, of: &DatasetName, name: &SnapshotName) -> Result<Round> {
    let started = Instant::now();
    zfs.snapshot(of, name).await?;
    let snapshot = started.elapsed();
    let started = Instant::now();
    let mut stream = zfs.send(of, None, name).await?;
    stream.read_u8().await?;
    let first = started.elapsed();
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    let whole = started.elapsed();
    drop(stream);
    let started = Instant::now();
    ensure!(zfs.destroy_snapshot(of, name).await? == Removed::Removed);
    Ok(vec![
        ("verb: snapshot", snapshot),
        ("verb: destroy snapshot", started.elapsed()),
        ("verb: send 1 MiB, to its first byte", first),
        ("verb: send 1 MiB, whole", whole),
    ])
}
