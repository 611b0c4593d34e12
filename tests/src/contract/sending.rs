//! Sends whose streams are received whole.

use super::fixture::{Fixture, snap};
use anyhow::{Context, Result, ensure};
use bootstash_zfs::{Role, SendError};
use tokio::io::AsyncReadExt;

pub(super) async fn a_full_stream_gives_the_same_guid_and_bytes(fixture: &Fixture) -> Result<()> {
    let (source, files) = fixture.source("source").await?;
    let copy = fixture.name("copy")?;
    let received = fixture.receive(&copy, fixture.sent(&source, None, 1).await?).await?;
    let sent = fixture.zfs.snapshots(&source).await?;
    ensure!(received.from.is_none() && received.to.guid == sent[0].guid && received.to.name == sent[0].name);
    ensure!(fixture.zfs.snapshots(&copy).await? == [received.to]);
    ensure!(fixture.content(&copy, 1).await? == files);
    Ok(())
}

pub(super) async fn an_increment_gives_the_same_guid_and_bytes(fixture: &Fixture) -> Result<()> {
    let (source, first) = fixture.source("source").await?;
    let copy = fixture.name("copy")?;
    fixture.receive(&copy, fixture.sent(&source, None, 1).await?).await?;
    let second = fixture.second(&source).await?;
    let received = fixture.receive(&copy, fixture.sent(&source, Some(1), 2).await?).await?;
    let sent = fixture.zfs.snapshots(&source).await?;
    ensure!(received.from.context("it was there")? == sent[0].guid && received.to.guid == sent[1].guid);
    ensure!(fixture.content(&copy, 1).await? == first);
    ensure!(fixture.content(&copy, 2).await? == second);
    Ok(())
}

pub(super) async fn what_was_received_is_ours_and_not_mounted(fixture: &Fixture) -> Result<()> {
    let (_, copy, increment) = fixture.lagging().await?;
    for increment in [None, Some(increment)] {
        if let Some(increment) = increment {
            fixture.receive(&copy, increment).await?;
        }
        let state = fixture.zfs.dataset(&copy).await?.context("it is there")?;
        ensure!(
            state.role == Some(Role::Volume) && !state.mounted && state.mountpoint.is_none(),
            "{state:?}"
        );
    }
    Ok(())
}

pub(super) async fn send_names_the_missing_snapshot(fixture: &Fixture) -> Result<()> {
    let (source, _) = fixture.source("source").await?;
    for (from, to) in [(None, 9), (Some(9), 1)] {
        let from = from.map(snap).transpose()?;
        let refused = fixture.zfs.send(&source, from.as_ref(), &snap(to)?).await.err();
        let named = matches!(&refused, Some(SendError::Missing { snapshot, .. }) if snapshot.number() == 9);
        ensure!(named, "{refused:?}");
    }
    Ok(())
}

pub(super) async fn a_stream_dropped_half_way_hurts_nothing(fixture: &Fixture) -> Result<()> {
    let (source, _) = fixture.source("source").await?;
    let mut stream = fixture.zfs.send(&source, None, &snap(1)?).await?;
    stream.read_exact(&mut [0; 1000]).await?;
    drop(stream);
    ensure!(fixture.sent(&source, None, 1).await?.len() > 300_000);
    fixture.zfs.destroy_snapshot(&source, &snap(1)?).await?;
    Ok(())
}
