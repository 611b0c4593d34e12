//! Receives that must fail and change nothing.

use super::fixture::{Fixture, from_memory, noise};
use anyhow::{Result, ensure};
use bootstash_base::names::DatasetName;
use bootstash_zfs::{ByteStream, NewDataset, ReceiveError, Role};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::sync::oneshot;

const QUOTA_BYTES: u64 = 20_000_000;

pub(super) async fn an_increment_wants_its_base(fixture: &Fixture) -> Result<()> {
    let (_, copy, increment) = fixture.lagging().await?;
    fixture.receive(&copy, increment.clone()).await?;
    let again = fixture.receive(&copy, increment).await;
    ensure!(matches!(again, Err(ReceiveError::WrongBase { .. })), "{again:?}");
    ensure!(fixture.numbers(&copy).await? == [1, 2]);
    Ok(())
}

pub(super) async fn an_increment_wants_a_file_system(fixture: &Fixture) -> Result<()> {
    let (_, copy, increment) = fixture.lagging().await?;
    let nobody = fixture.name("nobody")?;
    let refused = fixture.receive(&nobody, increment).await;
    ensure!(matches!(refused, Err(ReceiveError::WrongBase { .. })), "{refused:?}");
    ensure!(fixture.zfs.dataset(&nobody).await?.is_none());
    // zfs-fuse by itself would have found the one that has the base, and brought that on.
    ensure!(fixture.numbers(&copy).await? == [1]);
    Ok(())
}

pub(super) async fn a_full_stream_wants_no_file_system(fixture: &Fixture) -> Result<()> {
    let (source, _) = fixture.source("source").await?;
    let full = fixture.sent(&source, None, 1).await?;
    let refused = fixture.receive(&source, full).await;
    ensure!(matches!(refused, Err(ReceiveError::Exists { .. })), "{refused:?}");
    Ok(())
}

pub(super) async fn a_modified_file_system_is_refused(fixture: &Fixture) -> Result<()> {
    let (_, copy, increment) = fixture.lagging().await?;
    fixture.mounted(&copy).await?;
    fixture.write(&copy, "foreign", b"was here")?;
    let refused = fixture.receive(&copy, increment).await;
    ensure!(matches!(refused, Err(ReceiveError::Modified { .. })), "{refused:?}");
    ensure!(fixture.numbers(&copy).await? == [1]);
    Ok(())
}

pub(super) async fn a_foreign_file_system_is_refused(fixture: &Fixture) -> Result<()> {
    let (source, _) = fixture.source("source").await?;
    let foreign = fixture.name("foreign")?;
    fixture.direct.make_foreign(&foreign)?;
    let refused = fixture.receive(&foreign, fixture.sent(&source, None, 1).await?).await;
    ensure!(matches!(refused, Err(ReceiveError::Foreign { .. })), "{refused:?}");
    Ok(())
}

pub(super) async fn a_missing_parent_is_named(fixture: &Fixture) -> Result<()> {
    let (source, _) = fixture.source("source").await?;
    let into = fixture.name("nobody")?.child("copy")?;
    let refused = fixture.receive(&into, fixture.sent(&source, None, 1).await?).await;
    ensure!(matches!(refused, Err(ReceiveError::NoParent { .. })), "{refused:?}");
    Ok(())
}

pub(super) async fn a_short_stream_changes_nothing(fixture: &Fixture) -> Result<()> {
    let (_, copy, increment) = fixture.lagging().await?;
    let refused = fixture.receive(&copy, increment[..increment.len() / 2].to_vec()).await;
    ensure!(matches!(refused, Err(ReceiveError::Truncated { .. })), "{refused:?}");
    still_receives(fixture, &copy, increment).await
}

pub(super) async fn a_flipped_byte_changes_nothing(fixture: &Fixture) -> Result<()> {
    let (_, copy, increment) = fixture.lagging().await?;
    let mut flipped = increment.clone();
    flipped[increment.len() / 2] ^= 1;
    let refused = fixture.receive(&copy, flipped).await;
    ensure!(matches!(refused, Err(ReceiveError::Corrupt { .. })), "{refused:?}");
    still_receives(fixture, &copy, increment).await
}

pub(super) async fn garbage_makes_nothing(fixture: &Fixture) -> Result<()> {
    let copy = fixture.name("copy")?;
    let refused = fixture.receive(&copy, vec![0xa5; 4000]).await;
    ensure!(matches!(refused, Err(ReceiveError::Corrupt { .. })), "{refused:?}");
    ensure!(fixture.zfs.dataset(&copy).await?.is_none());
    Ok(())
}

pub(super) async fn an_empty_stream_makes_nothing(fixture: &Fixture) -> Result<()> {
    let copy = fixture.name("copy")?;
    let refused = fixture.receive(&copy, Vec::new()).await;
    ensure!(matches!(refused, Err(ReceiveError::Truncated { .. })), "{refused:?}");
    ensure!(fixture.zfs.dataset(&copy).await?.is_none());
    Ok(())
}

pub(super) async fn a_source_that_breaks_changes_nothing(fixture: &Fixture) -> Result<()> {
    let (_, copy, increment) = fixture.lagging().await?;
    let refused = fixture.zfs.receive(&copy, broken_after(&increment[..increment.len() / 2])).await;
    let told = matches!(&refused, Err(ReceiveError::Source { source, .. }) if source.to_string() == "the wire was cut");
    ensure!(told, "{refused:?}");
    still_receives(fixture, &copy, increment).await
}

pub(super) async fn a_receive_that_is_dropped_changes_nothing(fixture: &Fixture) -> Result<()> {
    let (_, copy, increment) = fixture.lagging().await?;
    let (silent, reached) = silent_after(&increment[..increment.len() / 2]);
    tokio::select! {
        ended = fixture.zfs.receive(&copy, silent) => anyhow::bail!("it ended: {ended:?}"),
        reached = reached => reached?,
    }
    ensure!(fixture.numbers(&copy).await? == [1]);
    still_receives(fixture, &copy, increment).await
}

pub(super) async fn a_second_receive_at_once_is_refused(fixture: &Fixture) -> Result<()> {
    let (_, copy, increment) = fixture.lagging().await?;
    let (silent, reached) = silent_after(&increment[..increment.len() / 2]);
    let second = async {
        reached.await?;
        let refused = fixture.receive(&copy, increment.clone()).await;
        ensure!(matches!(refused, Err(ReceiveError::Busy { .. })), "{refused:?}");
        Ok(())
    };
    tokio::select! {
        ended = fixture.zfs.receive(&copy, silent) => anyhow::bail!("it ended: {ended:?}"),
        second = second => second?,
    }
    still_receives(fixture, &copy, increment).await
}

pub(super) async fn a_quota_changes_nothing(fixture: &Fixture) -> Result<()> {
    let (small, large) = small_and_large(fixture).await?;
    let narrow = fixture.name("narrow")?;
    fixture
        .zfs
        .create(&narrow, &NewDataset { role: Role::Root, mountpoint: None, properties: Vec::new() })
        .await?;
    fixture.direct.set_quota(&narrow, QUOTA_BYTES)?;
    let copy = narrow.child("copy")?;
    fixture.receive(&copy, small).await?;
    let refused = fixture.receive(&copy, large).await;
    ensure!(matches!(refused, Err(ReceiveError::Quota { .. })), "{refused:?}");
    ensure!(fixture.numbers(&copy).await? == [1]);
    Ok(())
}

pub(super) async fn a_full_pool_changes_nothing(fixture: &Fixture) -> Result<()> {
    let (small, large) = small_and_large(fixture).await?;
    let copy = fixture.direct.cramped()?.child("copy")?;
    fixture.receive(&copy, small).await?;
    let refused = fixture.receive(&copy, large).await;
    ensure!(matches!(refused, Err(ReceiveError::NoSpace { .. })), "{refused:?}");
    ensure!(fixture.numbers(&copy).await? == [1]);
    Ok(())
}

/// A full stream of next to nothing, and an increment of 60 MB on it.
async fn small_and_large(fixture: &Fixture) -> Result<(Vec<u8>, Vec<u8>)> {
    let source = fixture.volume("source").await?;
    fixture.take(&source, 1).await?;
    let small = fixture.sent(&source, None, 1).await?;
    fixture.write(&source, "f", &noise(1, 60_000_000))?;
    fixture.take(&source, 2).await?;
    Ok((small, fixture.sent(&source, Some(1), 2).await?))
}

pub(super) async fn still_receives(fixture: &Fixture, copy: &DatasetName, increment: Vec<u8>) -> Result<()> {
    ensure!(fixture.numbers(copy).await? == [1]);
    // Through `from_memory`, as a second receive right after the first must wait for its end.
    fixture.zfs.receive(copy, from_memory(increment)).await?;
    ensure!(fixture.numbers(copy).await? == [1, 2]);
    Ok(())
}

/// These bytes, and then an error.
pub(super) fn broken_after(bytes: &[u8]) -> ByteStream {
    Box::pin(std::io::Cursor::new(bytes.to_vec()).chain(Broken))
}

/// These bytes, and then nothing for ever; and the moment when it comes to that.
fn silent_after(bytes: &[u8]) -> (ByteStream, oneshot::Receiver<()>) {
    let (at, reached) = oneshot::channel();
    (Box::pin(std::io::Cursor::new(bytes.to_vec()).chain(Silent(Some(at)))), reached)
}

/// A reader whose wire was cut.
struct Broken;

impl AsyncRead for Broken {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::Error::other("the wire was cut")))
    }
}

/// A reader that says when it is asked, and never answers.
struct Silent(Option<oneshot::Sender<()>>);

impl AsyncRead for Silent {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(at) = self.0.take() {
            let _ = at.send(());
        }
        Poll::Pending
    }
}
