//! The suites that run on zfs-fuse, too.

use crate::{PROGRAM, boot, options};
use anyhow::{Result, ensure};
use std::time::Duration;

/// Under emulation, on cores that do other things too.
const LIMIT: Duration = Duration::from_secs(25 * 60);

#[test]
fn contract_and_replication_hold_in_the_kernel() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let guests = boot(&[options(dir.path(), "suites", 4096, Vec::new())])?;
    for suite in ["contract", "replication"] {
        let told = guests[0].show(&[PROGRAM], &[("SUITE", suite)], LIMIT)?;
        ensure!(told.code == 0, "the {suite} suite failed in the guest");
    }
    Ok(())
}
