//! Views: read-only clones.

use super::bed::{Bed, snap};
use anyhow::{Context, Result, ensure};
use bootstash_zfs::{CloneError, DestroyError, Made, Removed, Role};

pub(super) async fn a_view_shows_its_snapshot_while_newer_ones_come(bed: &Bed) -> Result<()> {
    let (source, first) = bed.source("source").await?;
    let copy = bed.name("copy")?;
    bed.receive(&copy, bed.sent(&source, None, 1).await?).await?;
    let (clone, at) = bed.view(&copy, 1, "first").await?;
    bed.second(&source).await?;
    bed.receive(&copy, bed.sent(&source, Some(1), 2).await?).await?;
    ensure!(bed.files(&at)? == first);
    let state = bed.zfs.dataset(&clone).await?.context("it is there")?;
    ensure!(
        state.role == Some(Role::View) && state.mounted && state.mountpoint == Some(at.clone()),
        "{state:?}"
    );
    ensure!(bed.zfs.destroy(&clone).await? == Removed::Removed);
    ensure!(!bed.ground.outside(&at).exists(), "the mount point is left");
    Ok(())
}

pub(super) async fn cloning_again_changes_nothing(bed: &Bed) -> Result<()> {
    let (source, files) = bed.source("source").await?;
    let (clone, at) = bed.view(&source, 1, "one").await?;
    ensure!(bed.zfs.clone_snapshot(&source, &snap(1)?, &clone, &at).await? == Made::Unchanged);
    ensure!(bed.files(&at)? == files);
    Ok(())
}

pub(super) async fn clone_names_a_missing_snapshot(bed: &Bed) -> Result<()> {
    let (source, _) = bed.source("source").await?;
    let clone = bed.name("view")?;
    let refused = bed.zfs.clone_snapshot(&source, &snap(9)?, &clone, &bed.dir.join("view")).await;
    ensure!(matches!(refused, Err(CloneError::Missing { .. })), "{refused:?}");
    ensure!(bed.zfs.dataset(&clone).await?.is_none());
    Ok(())
}

pub(super) async fn clone_refuses_what_is_not_ours(bed: &Bed) -> Result<()> {
    let (source, _) = bed.source("source").await?;
    let foreign = bed.name("foreign")?;
    bed.ground.make_foreign(&foreign)?;
    let refused = bed.zfs.clone_snapshot(&source, &snap(1)?, &foreign, &bed.dir.join("view")).await;
    ensure!(matches!(refused, Err(CloneError::Foreign { .. })), "{refused:?}");
    Ok(())
}

pub(super) async fn a_view_pins_its_snapshot(bed: &Bed) -> Result<()> {
    let (source, files) = bed.source("source").await?;
    let (clone, at) = bed.view(&source, 1, "pin").await?;
    let snapshot = bed.zfs.destroy_snapshot(&source, &snap(1)?).await;
    ensure!(matches!(snapshot, Err(DestroyError::HasDependents { .. })), "{snapshot:?}");
    let whole = bed.zfs.destroy(&source).await;
    ensure!(matches!(whole, Err(DestroyError::HasDependents { .. })), "{whole:?}");
    ensure!(bed.files(&at)? == files && bed.zfs.dataset(&source).await?.context("it is there")?.mounted);
    ensure!(bed.zfs.destroy(&clone).await? == Removed::Removed);
    ensure!(bed.zfs.destroy_snapshot(&source, &snap(1)?).await? == Removed::Removed);
    Ok(())
}
