//! What libzfs_core saves over the programs `zfs` and `zpool`: measured on this machine's OpenZFS, in a
//! pool that is made in a file, and left there: it is meant for a guest. Both sides take turns in every round.

mod calls;
mod table;
mod verbs;

use anyhow::Result;
use bootstash_base::names::{DatasetName, SnapshotName};
use bootstash_zfs::{CommandZfs, NewDataset, Programs, Role, ZettaZfs, Zfs};
use std::fs::File;
use std::path::{Path, PathBuf};
use table::{Side, Times};

const ROUNDS: u64 = 31;
const POOL: &str = "measured";
const DISK: &str = "/run/measured.disk";
const DISK_BYTES: u64 = 512 << 20;
const MOUNTPOINT: &str = "/run/measured";
/// About what one image adds to the volume, in a small delta.
const CONTENT_BYTES: usize = 1 << 20;

/// Takes the figures; gives a table.
///
/// # Errors
/// When a call fails: then there are none.
pub fn measure() -> Result<String> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(rounds())
}

async fn rounds() -> Result<String> {
    File::create(DISK)?.set_len(DISK_BYTES)?;
    calls::spawn(&["zpool", "create", "-f", "-m", "none", POOL, DISK])?;
    let programs = Programs::find()?;
    let commands = CommandZfs::open(&programs, POOL).await?;
    let zetta = ZettaZfs::open(&programs, POOL).await?;
    let engine = calls::engine()?;
    let of = volume(&commands).await?;
    let mut times = Times::default();
    for round in 0..ROUNDS {
        let name = |number| Ok::<_, anyhow::Error>(SnapshotName::new(4 * round + number, DATE.parse()?));
        times.add(Side::Program, calls::by_program(&format!("{of}@{}", name(1)?))?);
        times.add(Side::Library, calls::by_library(&engine, &format!("{of}@{}", name(2)?))?);
        times.add(Side::Program, verbs::over(&commands, &of, &name(3)?).await?);
        times.add(Side::Library, verbs::over(&zetta, &of, &name(4)?).await?);
    }
    Ok(times.table())
}

const DATE: &str = "2026-11-21T10:15:30Z";

/// A volume with something in it.
async fn volume(zfs: &dyn Zfs) -> Result<DatasetName> {
    let of: DatasetName = format!("{POOL}/volume").parse()?;
    let mountpoint = Some(PathBuf::from(MOUNTPOINT));
    zfs.create(&of, &NewDataset { role: Role::Volume, mountpoint, properties: Vec::new() }).await?;
    zfs.mount(&of).await?;
    let mut content = vec![0; CONTENT_BYTES];
    blake3::Hasher::new().finalize_xof().fill(&mut content);
    std::fs::write(Path::new(MOUNTPOINT).join("content"), content)?;
    Ok(of)
}
