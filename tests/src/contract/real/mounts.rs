//! What only a real ZFS shows of mounts and of changes behind its back.

use super::{RealAccess, wait};
use crate::contract::Fixture;
use crate::contract::fixture::snap;
use anyhow::{Context, Result, bail, ensure};
use bootstash_zfs::{CloneError, DestroyError, Flavor, OpenError, ReceiveError, Removed};
use std::path::Path;
use std::process::Child;

pub(super) type MountCase = (&'static str, fn(&Fixture, &RealAccess) -> Result<()>);

pub(super) const CASES: [MountCase; 4] = [
    ("a_pool_with_an_altroot_is_refused", |_, direct| wait(altroot(direct))),
    ("a_view_that_another_namespace_holds_is_told_from_one_that_fails", |fixture, direct| {
        wait(held(fixture, direct))
    }),
    ("a_modified_file_system_is_refused_with_the_command_that_mends_it", |fixture, direct| {
        wait(modified(fixture, direct, None))
    }),
    ("the_command_that_mends_goes_past_what_others_took", |fixture, direct| {
        wait(modified(fixture, direct, Some("daily")))
    }),
];

async fn altroot(direct: &RealAccess) -> Result<()> {
    let (pool, file) = (format!("{}-alt", direct.host.pool()), direct.dir.join("alt.img"));
    std::fs::File::create(&file)?.set_len(super::CRAMPED_BYTES)?;
    let (file, below) = (file.display().to_string(), direct.dir.join("below").display().to_string());
    direct.run(&direct.host.zpool(), &["create", "-f", "-m", "none", "-R", &below, &pool, &file])?;
    let refused = direct.open(&pool).await;
    direct.run(&direct.host.zpool(), &["destroy", "-f", &pool])?;
    match refused {
        Err(OpenError::Altroot { altroot, .. }) => ensure!(altroot == below, "{altroot}"),
        other => bail!("{other:?}"),
    }
    Ok(())
}

/// A process that was started while a view was mounted, in a mount namespace of its own.
struct Holder(Child);

impl Holder {
    fn start(direct: &RealAccess, seen: &Path) -> Result<Self> {
        let child = direct.host.command_in("unshare").args(["-m", "sleep", "600"]).spawn()?;
        let holder = Self(child);
        let table = format!("/proc/{}/mountinfo", holder.0.id());
        let own = std::fs::read_link("/proc/self/ns/mnt")?;
        let host = std::fs::read_link(format!("/proc/{}/ns/mnt", direct.host.pid()))?;
        crate::lab::wait::until("the process has a namespace of its own", super::HOLD_LIMIT, || {
            let namespace = std::fs::read_link(format!("/proc/{}/ns/mnt", holder.0.id()))?;
            let sees = std::fs::read_to_string(&table)?.contains(&seen.display().to_string());
            Ok((namespace != own && namespace != host && sees).then_some(()))
        })?;
        Ok(holder)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

async fn held(fixture: &Fixture, direct: &RealAccess) -> Result<()> {
    let (source, files) = fixture.source("source").await?;
    let (clone, at) = fixture.view(&source, 1, "held").await?;
    let holder = Holder::start(direct, &at)?;
    let refused = fixture.zfs.destroy(&clone).await;
    ensure!(matches!(refused, Err(DestroyError::Busy { .. })), "{refused:?}");
    let again = fixture.zfs.clone_snapshot(&source, &snap(1)?, &clone, &at).await;
    match (fixture.zfs.capabilities().flavor, again) {
        (Flavor::ZfsFuse, Err(CloneError::Held { name })) => ensure!(name == clone),
        (Flavor::OpenZfs, Ok(_)) => {}
        other => bail!("{other:?}"),
    }
    let second = fixture.name("view-second")?;
    if fixture.zfs.capabilities().flavor == Flavor::ZfsFuse {
        fixture.zfs.clone_snapshot(&source, &snap(1)?, &second, &at).await?;
    }
    ensure!(fixture.files(&at)? == files);
    drop(holder);
    ensure!(fixture.zfs.destroy(&clone).await? == Removed::Removed);
    fixture.zfs.destroy(&second).await?;
    Ok(())
}

/// Written to, and with a snapshot of somebody else's taken of that.
async fn modified(fixture: &Fixture, direct: &RealAccess, foreign: Option<&str>) -> Result<()> {
    let (_, copy, increment) = fixture.lagging().await?;
    fixture.mounted(&copy).await?;
    fixture.write(&copy, "foreign", b"was here")?;
    if let Some(name) = foreign {
        fixture.direct.take_foreign(&copy, name)?;
        fixture.write(&copy, "foreign", b"and here")?;
    }
    let mend = match fixture.receive(&copy, increment.clone()).await {
        Err(ReceiveError::Modified { mend, .. }) => mend,
        other => bail!("{other:?}"),
    };
    ensure!(mend.starts_with("zfs rollback ") && mend.contains(" -r ") == foreign.is_some(), "{mend}");
    let zfs = direct.host.zfs();
    let command = mend.replace("zfs ", &format!("{} ", zfs.to_str().context("a path of ours")?));
    direct.run(Path::new("/bin/sh"), &["-c", &command])?;
    fixture.receive(&copy, increment).await?;
    ensure!(fixture.numbers(&copy).await? == [1, 2]);
    Ok(())
}
