//! Sends whose streams are received whole.

use super::bed::{Bed, snap};
use anyhow::{Context, Result, ensure};
use bootstash_zfs::{Role, SendError};
use tokio::io::AsyncReadExt;

pub(super) async fn a_full_stream_gives_the_same_guid_and_bytes(bed: &Bed) -> Result<()> {
    let (source, files) = bed.source("source").await?;
    let copy = bed.name("copy")?;
    let received = bed.receive(&copy, bed.sent(&source, None, 1).await?).await?;
    let sent = bed.zfs.snapshots(&source).await?;
    ensure!(received.from.is_none() && received.to.guid == sent[0].guid && received.to.name == sent[0].name);
    ensure!(bed.zfs.snapshots(&copy).await? == [received.to]);
    ensure!(bed.content(&copy, 1).await? == files);
    Ok(())
}

pub(super) async fn an_increment_gives_the_same_guid_and_bytes(bed: &Bed) -> Result<()> {
    let (source, first) = bed.source("source").await?;
    let copy = bed.name("copy")?;
    bed.receive(&copy, bed.sent(&source, None, 1).await?).await?;
    let second = bed.second(&source).await?;
    let received = bed.receive(&copy, bed.sent(&source, Some(1), 2).await?).await?;
    let sent = bed.zfs.snapshots(&source).await?;
    ensure!(received.from.context("it was there")?.guid == sent[0].guid && received.to.guid == sent[1].guid);
    ensure!(bed.content(&copy, 1).await? == first);
    ensure!(bed.content(&copy, 2).await? == second);
    Ok(())
}

pub(super) async fn what_was_received_is_ours_and_not_mounted(bed: &Bed) -> Result<()> {
    let (_, copy, increment) = bed.lagging().await?;
    for increment in [None, Some(increment)] {
        if let Some(increment) = increment {
            bed.receive(&copy, increment).await?;
        }
        let state = bed.zfs.dataset(&copy).await?.context("it is there")?;
        ensure!(
            state.role == Some(Role::Volume) && !state.mounted && state.mountpoint.is_none(),
            "{state:?}"
        );
    }
    Ok(())
}

pub(super) async fn send_names_the_missing_snapshot(bed: &Bed) -> Result<()> {
    let (source, _) = bed.source("source").await?;
    for (from, to) in [(None, 9), (Some(9), 1)] {
        let from = from.map(snap).transpose()?;
        let refused = bed.zfs.send(&source, from.as_ref(), &snap(to)?).await.err();
        let named = matches!(&refused, Some(SendError::Missing { snapshot, .. }) if snapshot.number() == 9);
        ensure!(named, "{refused:?}");
    }
    Ok(())
}

pub(super) async fn a_stream_dropped_half_way_hurts_nothing(bed: &Bed) -> Result<()> {
    let (source, _) = bed.source("source").await?;
    let mut stream = bed.zfs.send(&source, None, &snap(1)?).await?;
    stream.read_exact(&mut [0; 1000]).await?;
    drop(stream);
    ensure!(bed.sent(&source, None, 1).await?.len() > 300_000);
    bed.zfs.destroy_snapshot(&source, &snap(1)?).await?;
    Ok(())
}
