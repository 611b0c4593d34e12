//! Destroying what is ours, and nothing else.

use super::fixture::{Fixture, snap};
use anyhow::{Result, ensure};
use bootstash_zfs::{DestroyError, Removed};

pub(super) async fn destroy_takes_snapshots_along_and_then_finds_nothing(fixture: &Fixture) -> Result<()> {
    let (source, _) = fixture.source("source").await?;
    fixture.second(&source).await?;
    ensure!(fixture.zfs.destroy(&source).await? == Removed::Removed);
    ensure!(fixture.zfs.dataset(&source).await?.is_none() && fixture.numbers(&source).await?.is_empty());
    ensure!(fixture.zfs.destroy(&source).await? == Removed::Unchanged);
    Ok(())
}

pub(super) async fn destroy_spares_children(fixture: &Fixture) -> Result<()> {
    let (source, _) = fixture.source("source").await?;
    let refused = fixture.zfs.destroy(&fixture.root).await;
    ensure!(matches!(refused, Err(DestroyError::HasDependents { .. })), "{refused:?}");
    ensure!(fixture.numbers(&source).await? == [1]);
    Ok(())
}

pub(super) async fn destroy_spares_what_is_not_ours(fixture: &Fixture) -> Result<()> {
    let foreign = fixture.name("foreign")?;
    fixture.direct.make_foreign(&foreign)?;
    fixture.take(&foreign, 1).await?;
    let whole = fixture.zfs.destroy(&foreign).await;
    ensure!(matches!(whole, Err(DestroyError::Foreign { .. })), "{whole:?}");
    let snapshot = fixture.zfs.destroy_snapshot(&foreign, &snap(1)?).await;
    ensure!(matches!(snapshot, Err(DestroyError::Foreign { .. })), "{snapshot:?}");
    ensure!(fixture.numbers(&foreign).await? == [1]);
    Ok(())
}

pub(super) async fn destroy_spares_snapshots_that_others_took(fixture: &Fixture) -> Result<()> {
    let (source, files) = fixture.source("source").await?;
    fixture.direct.take_foreign(&source, "autosnap_2026-11-21_daily")?;
    let refused = fixture.zfs.destroy(&source).await;
    let named = matches!(&refused, Err(DestroyError::ForeignSnapshot { snapshot, .. }) if snapshot.contains("autosnap"));
    ensure!(named, "{refused:?}");
    ensure!(fixture.content(&source, 1).await? == files);
    Ok(())
}

pub(super) async fn destroy_waits_out_a_use_that_just_ended(fixture: &Fixture) -> Result<()> {
    let (source, files) = fixture.source("source").await?;
    for round in 0..3 {
        let (clone, at) = fixture.view(&source, 1, &round.to_string()).await?;
        ensure!(fixture.files(&at)? == files);
        ensure!(fixture.zfs.destroy(&clone).await? == Removed::Removed);
    }
    Ok(())
}

pub(super) async fn a_destroyed_snapshot_leaves_the_others(fixture: &Fixture) -> Result<()> {
    let (source, _) = fixture.source("source").await?;
    let second = fixture.second(&source).await?;
    ensure!(fixture.zfs.destroy_snapshot(&source, &snap(1)?).await? == Removed::Removed);
    ensure!(fixture.zfs.destroy_snapshot(&source, &snap(1)?).await? == Removed::Unchanged);
    ensure!(fixture.numbers(&source).await? == [2]);
    ensure!(fixture.content(&source, 2).await? == second);
    Ok(())
}
