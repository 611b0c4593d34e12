//! ZFS by libzfs_core: the contract in a guest that has OpenZFS in its kernel, and what happens on a
//! machine without. Needs `make openzfs`, QEMU, and for the latter zfs-fuse.

use anyhow::{Result, ensure};
use bootstash_tests::lab::zfs_host::{ZfsHost, ZfsHostOptions};
use bootstash_tests::openzfs::{Guest, GuestOptions, MadeGuest};
use bootstash_zfs::{OpenError, Programs, ZettaZfs};
use std::path::Path;
use std::time::Duration;

/// Under emulation, on cores that do other things too.
const LIMIT: Duration = Duration::from_secs(15 * 60);
const INIT: &str = env!("CARGO_BIN_EXE_openzfs-guest");
const PROGRAM: &str = env!("CARGO_BIN_EXE_libzetta-guest");

#[test]
fn the_contract_holds_by_libzfs_core() -> Result<()> {
    in_a_guest(&[PROGRAM])
}

#[test]
#[ignore = "takes figures and judges nothing: make bench-libzetta"]
fn figures() -> Result<()> {
    in_a_guest(&[PROGRAM, "measure"])
}

fn in_a_guest(words: &[&str]) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let options = GuestOptions {
        name: "libzetta".to_owned(),
        dir: dir.path().join("libzetta"),
        memory_mib: 3072,
        disk_bytes: 4 << 30,
        cables: Vec::new(),
    };
    let guests = Guest::boot_all(&MadeGuest::find(Path::new(INIT))?, &[options])?;
    let told = guests[0].show(words, &[], LIMIT)?;
    ensure!(told.code == 0, "{words:?} failed in the guest");
    Ok(())
}

#[tokio::test]
async fn without_a_kernel_that_has_zfs_the_commands_serve() -> Result<()> {
    if Path::new("/dev/zfs").exists() {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let host = ZfsHost::start(&ZfsHostOptions {
        dir: dir.path().to_owned(),
        pool: "tank".to_owned(),
        pool_bytes: 64 << 20,
        netns: None,
        private_paths: Vec::new(),
    })?;
    let programs = Programs { zfs: host.zfs(), zpool: host.zpool() };
    let refused = ZettaZfs::open(&programs, host.pool()).await;
    ensure!(matches!(refused, Err(OpenError::NoKernel)), "{refused:?}");
    let zfs = bootstash_zfs::open(&programs, host.pool()).await?;
    ensure!(!zfs.capabilities().libzfs_core, "{zfs:?}");
    ensure!(zfs.dataset(&host.pool().parse()?).await?.is_some());
    host.stop()
}
