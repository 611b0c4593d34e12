//! Receives that are cut and go on, where ZFS can; and leave nothing, where it cannot.

use super::fixture::{Fixture, from_memory, noise};
use super::receiving::{broken_after, still_receives};
use anyhow::{Context, Result, ensure};
use bootstash_base::names::DatasetName;
use bootstash_zfs::{Flavor, Receive, ReceiveError, Removed, ResumeToken, SendError};
use tokio::io::AsyncReadExt;

/// Enough that ZFS has something to keep.
const FILE_BYTES: usize = 8_000_000;

pub(super) async fn a_cut_receive_goes_on(fixture: &Fixture) -> Result<()> {
    let (source, copy, full) = large(fixture).await?;
    let Some(token) = cut(fixture, &copy, &full).await? else { return Ok(()) };
    let refused = fixture.receive(&copy, full.clone()).await;
    ensure!(matches!(refused, Err(ReceiveError::PartialState { .. })), "{refused:?}");
    let mut rest = Vec::new();
    fixture.zfs.send_rest(&source, &token).await?.1.read_to_end(&mut rest).await?;
    ensure!(rest.len() < full.len() / 2, "{} of {} bytes again", rest.len(), full.len());
    let received = fixture.zfs.receive_as(&copy, from_memory(rest), Receive::Resume).await?;
    ensure!(received.from.is_none() && received.to.guid == fixture.zfs.snapshots(&source).await?[0].guid);
    ensure!(fixture.content(&copy, 1).await?.get("f") == Some(&noise(1, FILE_BYTES)));
    ensure!(fixture.zfs.partial(&copy).await?.is_none());
    ensure!(fixture.zfs.drop_partial(&copy).await? == Removed::Unchanged);
    Ok(())
}

pub(super) async fn a_rest_can_be_cut_again(fixture: &Fixture) -> Result<()> {
    let (source, copy, full) = large(fixture).await?;
    let Some(token) = cut(fixture, &copy, &full).await? else { return Ok(()) };
    let mut rest = Vec::new();
    fixture.zfs.send_rest(&source, &token).await?.1.read_to_end(&mut rest).await?;
    let again = fixture.zfs.receive_as(&copy, broken_after(&rest[..rest.len() / 2]), Receive::Resume).await;
    ensure!(matches!(again, Err(ReceiveError::Source { .. })), "{again:?}");
    let token = fixture.zfs.partial(&copy).await?.context("nothing is left of the second cut")?;
    let (_, last) = fixture.zfs.send_rest(&source, &token).await?;
    fixture.zfs.receive_as(&copy, last, Receive::Resume).await?;
    ensure!(fixture.content(&copy, 1).await?.get("f") == Some(&noise(1, FILE_BYTES)));
    Ok(())
}

pub(super) async fn a_token_of_what_is_gone_is_stale(fixture: &Fixture) -> Result<()> {
    let (source, copy, full) = large(fixture).await?;
    let Some(token) = cut(fixture, &copy, &full).await? else { return Ok(()) };
    let snapshot = fixture.zfs.snapshots(&source).await?.remove(0).name;
    fixture.zfs.destroy_snapshot(&source, &snapshot).await?;
    let stale = fixture.zfs.send_rest(&source, &token).await.err();
    ensure!(matches!(stale, Some(SendError::Stale { .. })), "{stale:?}");
    ensure!(fixture.zfs.drop_partial(&copy).await? == Removed::Removed);
    ensure!(fixture.zfs.dataset(&copy).await?.is_none(), "what it was making is left");
    Ok(())
}

pub(super) async fn a_token_sends_only_what_it_was_asked_of(fixture: &Fixture) -> Result<()> {
    let (_, copy, full) = large(fixture).await?;
    let other = fixture.volume("other").await?;
    let token = match cut(fixture, &copy, &full).await? {
        Some(token) => token,
        None => "1-ab-cd-ef".parse().map_err(anyhow::Error::msg)?,
    };
    let stale = fixture.zfs.send_rest(&other, &token).await.err();
    ensure!(matches!(stale, Some(SendError::Stale { .. })), "{stale:?}");
    let garbage = "1-ab-cd-ef".parse().map_err(anyhow::Error::msg)?;
    let stale = fixture.zfs.send_rest(&other, &garbage).await.err();
    ensure!(matches!(stale, Some(SendError::Stale { .. })), "{stale:?}");
    Ok(())
}

pub(super) async fn a_cut_increment_can_be_given_up(fixture: &Fixture) -> Result<()> {
    let (_, copy, increment) = fixture.lagging().await?;
    let half = broken_after(&increment[..increment.len() / 2]);
    let refused = fixture.zfs.receive_as(&copy, half, Receive::Resumable).await;
    ensure!(matches!(refused, Err(ReceiveError::Source { .. })), "{refused:?}");
    if fixture.zfs.capabilities().resumable_receive {
        ensure!(fixture.zfs.drop_partial(&copy).await? == Removed::Removed);
    }
    still_receives(fixture, &copy, increment).await
}

pub(super) async fn a_size_is_estimated_where_zfs_can(fixture: &Fixture) -> Result<()> {
    let (source, _, full) = large(fixture).await?;
    let name = fixture.zfs.snapshots(&source).await?.remove(0).name;
    let Some(size) = fixture.zfs.send_size(&source, None, &name).await? else {
        ensure!(fixture.zfs.capabilities().flavor == Flavor::ZfsFuse, "no estimate");
        return Ok(());
    };
    let (size, real) = (size as f64, full.len() as f64);
    ensure!((size / real - 1.0).abs() < 0.1, "estimated {size}, sent {real}");
    Ok(())
}

/// A source with one large file, a name for its copy, and the full stream.
async fn large(fixture: &Fixture) -> Result<(DatasetName, DatasetName, Vec<u8>)> {
    let source = fixture.volume("source").await?;
    fixture.write(&source, "f", &noise(1, FILE_BYTES))?;
    fixture.take(&source, 1).await?;
    let full = fixture.sent(&source, None, 1).await?;
    Ok((source, fixture.name("copy")?, full))
}

/// Cuts a receive after three quarters; none where this ZFS keeps nothing, which is checked.
async fn cut(fixture: &Fixture, copy: &DatasetName, full: &[u8]) -> Result<Option<ResumeToken>> {
    let stream = broken_after(&full[..full.len() / 4 * 3]);
    let refused = fixture.zfs.receive_as(copy, stream, Receive::Resumable).await;
    ensure!(matches!(refused, Err(ReceiveError::Source { .. })), "{refused:?}");
    let token = fixture.zfs.partial(copy).await?;
    ensure!(token.is_some() == fixture.zfs.capabilities().resumable_receive, "{token:?}");
    ensure!(token.is_some() == fixture.zfs.dataset(copy).await?.is_some());
    Ok(token)
}
