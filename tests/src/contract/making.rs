//! Making file systems and snapshots, and looking them up.

use super::fixture::{Fixture, noise, snap};
use anyhow::{Context, Result, ensure};
use bootstash_zfs::{
    CreateError, Dataset, Made, MountError, NewDataset, Owner, Property, ROLE_PROPERTY, Removed, Role,
    SNAPSHOT_ROLE, SnapshotError, make_root,
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

pub(super) async fn create_makes_what_was_asked_and_then_changes_nothing(fixture: &Fixture) -> Result<()> {
    let name = fixture.name("a")?;
    let wanted = new(Role::Views, Vec::new());
    ensure!(fixture.zfs.create(&name, &wanted).await? == Made::Created);
    let made = fixture.zfs.dataset(&name).await?.context("it is there")?;
    ensure!(made.role == Some(Role::Views) && made.mountpoint.is_none() && !made.mounted, "{made:?}");
    ensure!(fixture.zfs.create(&name, &wanted).await? == Made::Unchanged);
    ensure!(fixture.zfs.dataset(&name).await? == Some(made));
    Ok(())
}

pub(super) async fn create_sets_the_properties_on_what_is_there(fixture: &Fixture) -> Result<()> {
    let name = fixture.name("a")?;
    fixture.zfs.create(&name, &new(Role::Root, Vec::new())).await?;
    let properties = ALL.iter().map(|(property, ..)| *property).collect();
    ensure!(fixture.zfs.create(&name, &new(Role::Root, properties)).await? == Made::Unchanged);
    for (_, property, values) in ALL {
        let got = fixture.direct.property(&name, property)?;
        ensure!(values.contains(&got.as_str()), "{property} is {got}");
    }
    Ok(())
}

pub(super) async fn create_refuses_what_is_not_ours(fixture: &Fixture) -> Result<()> {
    let name = fixture.name("a")?;
    fixture.direct.make_foreign(&name)?;
    let refused = fixture.zfs.create(&name, &new(Role::Volume, Vec::new())).await;
    ensure!(matches!(refused, Err(CreateError::Foreign { .. })), "{refused:?}");
    ensure!(fixture.zfs.dataset(&name).await?.context("it is there")?.role.is_none());
    Ok(())
}

pub(super) async fn create_names_a_missing_parent(fixture: &Fixture) -> Result<()> {
    let name = fixture.name("nobody")?.child("a")?;
    let refused = fixture.zfs.create(&name, &new(Role::Volume, Vec::new())).await;
    ensure!(matches!(refused, Err(CreateError::NoParent { .. })), "{refused:?}");
    Ok(())
}

pub(super) async fn a_role_is_not_inherited(fixture: &Fixture) -> Result<()> {
    let parent = fixture.volume("parent").await?;
    let child = parent.child("child")?;
    fixture.direct.make_foreign(&child)?;
    ensure!(fixture.zfs.dataset(&child).await?.context("it is there")?.role.is_none());
    Ok(())
}

pub(super) async fn mount_happens_once(fixture: &Fixture) -> Result<()> {
    let name = fixture.volume("a").await?;
    ensure!(fixture.zfs.mount(&name).await? == Made::Unchanged);
    let state = fixture.zfs.dataset(&name).await?.context("it is there")?;
    ensure!(state.mounted && state.mountpoint == Some(fixture.dir.join("a")), "{state:?}");
    Ok(())
}

pub(super) async fn an_owner_is_noted_once_and_not_inherited(fixture: &Fixture) -> Result<()> {
    let (name, agent) = (fixture.name("a")?, Owner::Agent("c17".parse()?));
    let (root, views) = (new(Role::Root, Vec::new()), new(Role::Views, Vec::new()));
    ensure!(make_root(fixture.zfs.as_ref(), &name, &root, &agent).await? == Made::Created);
    fixture.zfs.create(&name.child("views")?, &views).await?;
    ensure!(make_root(fixture.zfs.as_ref(), &name, &root, &agent).await? == Made::Unchanged);
    ensure!(fixture.zfs.claim(&name, &agent).await? == Made::Unchanged);
    for other in [Owner::Registrar, Owner::Agent("c18".parse()?)] {
        let readonly = new(Role::Root, vec![Property::ReadOnly]);
        let refused = make_root(fixture.zfs.as_ref(), &name, &readonly, &other).await;
        ensure!(matches!(refused, Err(CreateError::Owned { .. })), "{refused:?}");
        ensure!(fixture.direct.property(&name, "readonly")? != "on", "its properties were changed");
    }
    let owner = |found: Option<Dataset>| found.and_then(|found| found.owner);
    ensure!(owner(fixture.zfs.dataset(&name).await?).as_deref() == Some("agent:c17"));
    ensure!(owner(fixture.zfs.dataset(&name.child("views")?).await?).is_none());
    Ok(())
}

pub(super) async fn children_come_in_order_of_name(fixture: &Fixture) -> Result<()> {
    let (b, a) = (fixture.name("b")?, fixture.name("a")?);
    for name in [&b, &a, &a.child("below")?] {
        fixture.zfs.create(name, &new(Role::Views, Vec::new())).await?;
    }
    ensure!(fixture.zfs.children(&fixture.root).await? == [a, b]);
    Ok(())
}

pub(super) async fn snapshots_come_in_order_with_guids_of_their_own(fixture: &Fixture) -> Result<()> {
    let volume = fixture.volume("a").await?;
    // A later one with a smaller number comes last all the same.
    let taken =
        [fixture.take(&volume, 7).await?, fixture.take(&volume, 12).await?, fixture.take(&volume, 3).await?];
    ensure!(fixture.zfs.snapshots(&volume).await? == taken);
    ensure!(
        taken[0].guid != taken[1].guid && taken[1].guid != taken[2].guid && taken[0].guid != taken[2].guid
    );
    Ok(())
}

pub(super) async fn taking_a_snapshot_again_gives_the_one_that_is_there(fixture: &Fixture) -> Result<()> {
    let volume = fixture.volume("a").await?;
    let first = fixture.take(&volume, 1).await?;
    fixture.write(&volume, "f", b"later")?;
    ensure!(fixture.take(&volume, 1).await? == first);
    ensure!(fixture.content(&volume, 1).await?.is_empty());
    Ok(())
}

pub(super) async fn missing_things_are_missing(fixture: &Fixture) -> Result<()> {
    let nobody = fixture.name("nobody")?;
    ensure!(fixture.zfs.dataset(&nobody).await?.is_none());
    ensure!(fixture.zfs.children(&nobody).await?.is_empty());
    ensure!(fixture.zfs.snapshots(&nobody).await?.is_empty());
    ensure!(fixture.zfs.usage(&nobody).await.is_err());
    ensure!(matches!(fixture.zfs.mount(&nobody).await, Err(MountError::Missing { .. })));
    let refused = fixture.zfs.snapshot(&nobody, &snap(1)?).await;
    ensure!(matches!(refused, Err(SnapshotError::Missing { .. })), "{refused:?}");
    ensure!(fixture.zfs.destroy(&nobody).await? == Removed::Unchanged);
    ensure!(fixture.zfs.destroy_snapshot(&nobody, &snap(1)?).await? == Removed::Unchanged);
    ensure!(fixture.zfs.destroy_snapshot(&fixture.root, &snap(1)?).await? == Removed::Unchanged);
    Ok(())
}

pub(super) async fn usage_tells_what_is_there(fixture: &Fixture) -> Result<()> {
    let volume = fixture.volume("a").await?;
    fixture.write(&volume, "f", &noise(1, 2_000_000))?;
    fixture.take(&volume, 1).await?;
    let usage = fixture.zfs.usage(&volume).await?;
    // What cannot be compressed takes at least its size, and the pool has much more left.
    ensure!((2_000_000..4_000_000).contains(&usage.logical_bytes), "{usage:?}");
    ensure!(usage.used_bytes >= 2_000_000 && usage.available_bytes > 50_000_000, "{usage:?}");
    ensure!(usage.dedup_ratio >= 1.0 && usage.compress_ratio >= 1.0, "{usage:?}");
    Ok(())
}

pub(super) async fn the_dedup_table_is_prefetched_where_zfs_can(fixture: &Fixture) -> Result<()> {
    let volume = fixture.volume("a").await?;
    let made = fixture.zfs.prefetch_dedup_table(&volume).await?;
    ensure!((made == Made::Created) == fixture.zfs.capabilities().dedup_table, "{made:?}");
    Ok(())
}

pub(super) async fn a_snapshot_is_marked_as_ours(fixture: &Fixture) -> Result<()> {
    let source = fixture.volume("source").await?;
    let name = fixture.take(&source, 1).await?.name;
    let role = fixture.direct.snapshot_property(&source, &name, ROLE_PROPERTY)?;
    ensure!(role == SNAPSHOT_ROLE, "{role}");
    Ok(())
}

pub(super) async fn a_bookmark_outlives_its_snapshot(fixture: &Fixture) -> Result<()> {
    let source = fixture.volume("source").await?;
    let name = fixture.take(&source, 1).await?.name;
    let made = if fixture.zfs.capabilities().bookmarks { Made::Created } else { Made::Unchanged };
    ensure!(fixture.zfs.bookmark(&source, &name).await? == made);
    ensure!(fixture.zfs.bookmark(&source, &name).await? == Made::Unchanged);
    ensure!(fixture.zfs.destroy_snapshot(&source, &name).await? == Removed::Removed);
    ensure!(fixture.zfs.snapshots(&source).await?.is_empty(), "the bookmark counts as a snapshot");
    let gone = fixture.zfs.bookmark(&source, &snap(2)?).await;
    if fixture.zfs.capabilities().bookmarks {
        ensure!(matches!(gone, Err(SnapshotError::Missing { .. })), "{gone:?}");
    }
    ensure!(fixture.zfs.destroy(&source).await? == Removed::Removed);
    Ok(())
}
