//! Destroying what is ours, and nothing else.

use super::bed::{Bed, snap};
use anyhow::{Result, ensure};
use bootstash_zfs::{DestroyError, Removed};

pub(super) async fn destroy_takes_snapshots_along_and_then_finds_nothing(bed: &Bed) -> Result<()> {
    let (source, _) = bed.source("source").await?;
    bed.second(&source).await?;
    ensure!(bed.zfs.destroy(&source).await? == Removed::Removed);
    ensure!(bed.zfs.dataset(&source).await?.is_none() && bed.numbers(&source).await?.is_empty());
    ensure!(bed.zfs.destroy(&source).await? == Removed::Unchanged);
    Ok(())
}

pub(super) async fn destroy_spares_children(bed: &Bed) -> Result<()> {
    let (source, _) = bed.source("source").await?;
    let refused = bed.zfs.destroy(&bed.root).await;
    ensure!(matches!(refused, Err(DestroyError::HasDependents { .. })), "{refused:?}");
    ensure!(bed.numbers(&source).await? == [1]);
    Ok(())
}

pub(super) async fn destroy_spares_what_is_not_ours(bed: &Bed) -> Result<()> {
    let foreign = bed.name("foreign")?;
    bed.ground.make_foreign(&foreign)?;
    bed.take(&foreign, 1).await?;
    let whole = bed.zfs.destroy(&foreign).await;
    ensure!(matches!(whole, Err(DestroyError::Foreign { .. })), "{whole:?}");
    let snapshot = bed.zfs.destroy_snapshot(&foreign, &snap(1)?).await;
    ensure!(matches!(snapshot, Err(DestroyError::Foreign { .. })), "{snapshot:?}");
    ensure!(bed.numbers(&foreign).await? == [1]);
    Ok(())
}

pub(super) async fn destroy_spares_snapshots_that_others_took(bed: &Bed) -> Result<()> {
    let (source, files) = bed.source("source").await?;
    bed.ground.take_foreign(&source, "autosnap_2026-11-21_daily")?;
    let refused = bed.zfs.destroy(&source).await;
    let named = matches!(&refused, Err(DestroyError::ForeignSnapshot { snapshot, .. }) if snapshot.contains("autosnap"));
    ensure!(named, "{refused:?}");
    ensure!(bed.content(&source, 1).await? == files);
    Ok(())
}

pub(super) async fn destroy_waits_out_a_use_that_just_ended(bed: &Bed) -> Result<()> {
    let (source, files) = bed.source("source").await?;
    for round in 0..3 {
        let (clone, at) = bed.view(&source, 1, &round.to_string()).await?;
        ensure!(bed.files(&at)? == files);
        ensure!(bed.zfs.destroy(&clone).await? == Removed::Removed);
    }
    Ok(())
}

pub(super) async fn a_destroyed_snapshot_leaves_the_others(bed: &Bed) -> Result<()> {
    let (source, _) = bed.source("source").await?;
    let second = bed.second(&source).await?;
    ensure!(bed.zfs.destroy_snapshot(&source, &snap(1)?).await? == Removed::Removed);
    ensure!(bed.zfs.destroy_snapshot(&source, &snap(1)?).await? == Removed::Unchanged);
    ensure!(bed.numbers(&source).await? == [2]);
    ensure!(bed.content(&source, 2).await? == second);
    Ok(())
}
