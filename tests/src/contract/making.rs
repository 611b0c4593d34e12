//! Making file systems and snapshots, and looking them up.

use super::bed::{Bed, noise, snap};
use anyhow::{Context, Result, ensure};
use bootstash_zfs::{
    CreateError, Made, MountError, NewDataset, Property, ROLE_PROPERTY, Removed, Role, SNAPSHOT_ROLE,
    SnapshotError,
};

const ALL: [(Property, &str, &[&str]); 5] = [
    (Property::Dedup, "dedup", &["on"]),
    // gzip-6 reads back as gzip.
    (Property::Compression, "compression", &["gzip", "gzip-6", "zstd"]),
    (Property::RecordSize64K, "recordsize", &["65536"]),
    (Property::NoAtime, "atime", &["off"]),
    (Property::ReadOnly, "readonly", &["on"]),
];

fn new(role: Role, properties: Vec<Property>) -> NewDataset {
    NewDataset { role, mountpoint: None, properties }
}

pub(super) async fn create_makes_what_was_asked_and_then_changes_nothing(bed: &Bed) -> Result<()> {
    let name = bed.name("a")?;
    let wanted = new(Role::Views, Vec::new());
    ensure!(bed.zfs.create(&name, &wanted).await? == Made::Created);
    let made = bed.zfs.dataset(&name).await?.context("it is there")?;
    ensure!(made.role == Some(Role::Views) && made.mountpoint.is_none() && !made.mounted, "{made:?}");
    ensure!(bed.zfs.create(&name, &wanted).await? == Made::Unchanged);
    ensure!(bed.zfs.dataset(&name).await? == Some(made));
    Ok(())
}

pub(super) async fn create_sets_the_properties_on_what_is_there(bed: &Bed) -> Result<()> {
    let name = bed.name("a")?;
    bed.zfs.create(&name, &new(Role::Root, Vec::new())).await?;
    let properties = ALL.iter().map(|(property, ..)| *property).collect();
    ensure!(bed.zfs.create(&name, &new(Role::Root, properties)).await? == Made::Unchanged);
    for (_, property, values) in ALL {
        let got = bed.ground.property(&name, property)?;
        ensure!(values.contains(&got.as_str()), "{property} is {got}");
    }
    Ok(())
}

pub(super) async fn create_refuses_what_is_not_ours(bed: &Bed) -> Result<()> {
    let name = bed.name("a")?;
    bed.ground.make_foreign(&name)?;
    let refused = bed.zfs.create(&name, &new(Role::Volume, Vec::new())).await;
    ensure!(matches!(refused, Err(CreateError::Foreign { .. })), "{refused:?}");
    ensure!(bed.zfs.dataset(&name).await?.context("it is there")?.role.is_none());
    Ok(())
}

pub(super) async fn create_names_a_missing_parent(bed: &Bed) -> Result<()> {
    let name = bed.name("nobody")?.child("a")?;
    let refused = bed.zfs.create(&name, &new(Role::Volume, Vec::new())).await;
    ensure!(matches!(refused, Err(CreateError::NoParent { .. })), "{refused:?}");
    Ok(())
}

pub(super) async fn a_role_is_not_inherited(bed: &Bed) -> Result<()> {
    let parent = bed.volume("parent").await?;
    let child = parent.child("child")?;
    bed.ground.make_foreign(&child)?;
    ensure!(bed.zfs.dataset(&child).await?.context("it is there")?.role.is_none());
    Ok(())
}

pub(super) async fn mount_happens_once(bed: &Bed) -> Result<()> {
    let name = bed.volume("a").await?;
    ensure!(bed.zfs.mount(&name).await? == Made::Unchanged);
    let state = bed.zfs.dataset(&name).await?.context("it is there")?;
    ensure!(state.mounted && state.mountpoint == Some(bed.dir.join("a")), "{state:?}");
    Ok(())
}

pub(super) async fn children_come_in_order_of_name(bed: &Bed) -> Result<()> {
    let (b, a) = (bed.name("b")?, bed.name("a")?);
    for name in [&b, &a, &a.child("below")?] {
        bed.zfs.create(name, &new(Role::Views, Vec::new())).await?;
    }
    ensure!(bed.zfs.children(&bed.root).await? == [a, b]);
    Ok(())
}

pub(super) async fn snapshots_come_in_order_with_guids_of_their_own(bed: &Bed) -> Result<()> {
    let volume = bed.volume("a").await?;
    // A later one with a smaller number comes last all the same.
    let taken = [bed.take(&volume, 7).await?, bed.take(&volume, 12).await?, bed.take(&volume, 3).await?];
    ensure!(bed.zfs.snapshots(&volume).await? == taken);
    ensure!(
        taken[0].guid != taken[1].guid && taken[1].guid != taken[2].guid && taken[0].guid != taken[2].guid
    );
    Ok(())
}

pub(super) async fn taking_a_snapshot_again_gives_the_one_that_is_there(bed: &Bed) -> Result<()> {
    let volume = bed.volume("a").await?;
    let first = bed.take(&volume, 1).await?;
    bed.write(&volume, "f", b"later")?;
    ensure!(bed.take(&volume, 1).await? == first);
    ensure!(bed.content(&volume, 1).await?.is_empty());
    Ok(())
}

pub(super) async fn missing_things_are_missing(bed: &Bed) -> Result<()> {
    let nobody = bed.name("nobody")?;
    ensure!(bed.zfs.dataset(&nobody).await?.is_none());
    ensure!(bed.zfs.children(&nobody).await?.is_empty());
    ensure!(bed.zfs.snapshots(&nobody).await?.is_empty());
    ensure!(bed.zfs.usage(&nobody).await.is_err());
    ensure!(matches!(bed.zfs.mount(&nobody).await, Err(MountError::Missing { .. })));
    let refused = bed.zfs.snapshot(&nobody, &snap(1)?).await;
    ensure!(matches!(refused, Err(SnapshotError::Missing { .. })), "{refused:?}");
    ensure!(bed.zfs.destroy(&nobody).await? == Removed::Unchanged);
    ensure!(bed.zfs.destroy_snapshot(&nobody, &snap(1)?).await? == Removed::Unchanged);
    ensure!(bed.zfs.destroy_snapshot(&bed.root, &snap(1)?).await? == Removed::Unchanged);
    Ok(())
}

pub(super) async fn usage_tells_what_is_there(bed: &Bed) -> Result<()> {
    let volume = bed.volume("a").await?;
    bed.write(&volume, "f", &noise(1, 2_000_000))?;
    bed.take(&volume, 1).await?;
    let usage = bed.zfs.usage(&volume).await?;
    // What cannot be compressed takes at least its size, and the pool has much more left.
    ensure!((2_000_000..4_000_000).contains(&usage.logical_bytes), "{usage:?}");
    ensure!(usage.used_bytes >= 2_000_000 && usage.available_bytes > 50_000_000, "{usage:?}");
    ensure!(usage.dedup_ratio >= 1.0 && usage.compress_ratio >= 1.0, "{usage:?}");
    Ok(())
}

pub(super) async fn the_dedup_table_is_prefetched_where_zfs_can(bed: &Bed) -> Result<()> {
    let volume = bed.volume("a").await?;
    let made = bed.zfs.prefetch_dedup_table(&volume).await?;
    ensure!((made == Made::Created) == bed.zfs.capabilities().dedup_table, "{made:?}");
    Ok(())
}

pub(super) async fn a_snapshot_is_marked_as_ours(bed: &Bed) -> Result<()> {
    let source = bed.volume("source").await?;
    let name = bed.take(&source, 1).await?.name;
    let role = bed.ground.snapshot_property(&source, &name, ROLE_PROPERTY)?;
    ensure!(role == SNAPSHOT_ROLE, "{role}");
    Ok(())
}

pub(super) async fn a_bookmark_outlives_its_snapshot(bed: &Bed) -> Result<()> {
    let source = bed.volume("source").await?;
    let name = bed.take(&source, 1).await?.name;
    let made = if bed.zfs.capabilities().bookmarks { Made::Created } else { Made::Unchanged };
    ensure!(bed.zfs.bookmark(&source, &name).await? == made);
    ensure!(bed.zfs.bookmark(&source, &name).await? == Made::Unchanged);
    ensure!(bed.zfs.destroy_snapshot(&source, &name).await? == Removed::Removed);
    ensure!(bed.zfs.snapshots(&source).await?.is_empty(), "the bookmark counts as a snapshot");
    let gone = bed.zfs.bookmark(&source, &snap(2)?).await;
    if bed.zfs.capabilities().bookmarks {
        ensure!(matches!(gone, Err(SnapshotError::Missing { .. })), "{gone:?}");
    }
    ensure!(bed.zfs.destroy(&source).await? == Removed::Removed);
    Ok(())
}
