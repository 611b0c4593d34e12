//! Views: read-only clones.

use super::fixture::{Fixture, snap};
use anyhow::{Context, Result, ensure};
use bootstash_zfs::{CloneError, DestroyError, Made, Removed, Role};

pub(super) async fn a_view_shows_its_snapshot_while_newer_ones_come(fixture: &Fixture) -> Result<()> {
    let (source, first) = fixture.source("source").await?;
    let copy = fixture.name("copy")?;
    fixture.receive(&copy, fixture.sent(&source, None, 1).await?).await?;
    let (clone, at) = fixture.view(&copy, 1, "first").await?;
    fixture.second(&source).await?;
    fixture.receive(&copy, fixture.sent(&source, Some(1), 2).await?).await?;
    ensure!(fixture.files(&at)? == first);
    let state = fixture.zfs.dataset(&clone).await?.context("it is there")?;
    ensure!(
        state.role == Some(Role::View) && state.mounted && state.mountpoint == Some(at.clone()),
        "{state:?}"
    );
    ensure!(fixture.zfs.destroy(&clone).await? == Removed::Removed);
    ensure!(!fixture.direct.outside(&at).exists(), "the mount point is left");
    Ok(())
}

pub(super) async fn cloning_again_changes_nothing(fixture: &Fixture) -> Result<()> {
    let (source, files) = fixture.source("source").await?;
    let (clone, at) = fixture.view(&source, 1, "one").await?;
    ensure!(fixture.zfs.clone_snapshot(&source, &snap(1)?, &clone, &at).await? == Made::Unchanged);
    ensure!(fixture.files(&at)? == files);
    Ok(())
}

pub(super) async fn clone_names_a_missing_snapshot(fixture: &Fixture) -> Result<()> {
    let (source, _) = fixture.source("source").await?;
    let clone = fixture.name("view")?;
    let refused = fixture.zfs.clone_snapshot(&source, &snap(9)?, &clone, &fixture.dir.join("view")).await;
    ensure!(matches!(refused, Err(CloneError::Missing { .. })), "{refused:?}");
    ensure!(fixture.zfs.dataset(&clone).await?.is_none());
    Ok(())
}

pub(super) async fn clone_refuses_what_is_not_ours(fixture: &Fixture) -> Result<()> {
    let (source, _) = fixture.source("source").await?;
    let foreign = fixture.name("foreign")?;
    fixture.direct.make_foreign(&foreign)?;
    let refused = fixture.zfs.clone_snapshot(&source, &snap(1)?, &foreign, &fixture.dir.join("view")).await;
    ensure!(matches!(refused, Err(CloneError::Foreign { .. })), "{refused:?}");
    Ok(())
}

pub(super) async fn a_view_pins_its_snapshot(fixture: &Fixture) -> Result<()> {
    let (source, files) = fixture.source("source").await?;
    let (clone, at) = fixture.view(&source, 1, "pin").await?;
    let snapshot = fixture.zfs.destroy_snapshot(&source, &snap(1)?).await;
    ensure!(matches!(snapshot, Err(DestroyError::HasDependents { .. })), "{snapshot:?}");
    let whole = fixture.zfs.destroy(&source).await;
    ensure!(matches!(whole, Err(DestroyError::HasDependents { .. })), "{whole:?}");
    ensure!(
        fixture.files(&at)? == files && fixture.zfs.dataset(&source).await?.context("it is there")?.mounted
    );
    ensure!(fixture.zfs.destroy(&clone).await? == Removed::Removed);
    ensure!(fixture.zfs.destroy_snapshot(&source, &snap(1)?).await? == Removed::Removed);
    Ok(())
}
