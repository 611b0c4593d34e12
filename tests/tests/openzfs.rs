//! The suites over OpenZFS, in guests that have it in their kernel. Needs `make openzfs`, and QEMU.

use anyhow::{Result, ensure};
use bootstash_tests::openzfs::{Guest, GuestOptions, MadeGuest};
use std::path::Path;
use std::time::Duration;

/// Under emulation, on cores that do other things too.
const SUITE_LIMIT: Duration = Duration::from_secs(15 * 60);
const PROGRAM: &str = env!("CARGO_BIN_EXE_openzfs-guest");

#[test]
fn the_contract_holds_in_the_kernel() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let guest = boot(dir.path(), "contract")?;
    println!("guest up in {:.1} s", guest.booted_in().as_secs_f64());
    let told = guest.show(&[PROGRAM], &[], SUITE_LIMIT)?;
    ensure!(told.code == 0, "the suite failed in the guest");
    Ok(())
}

fn boot(dir: &Path, name: &str) -> Result<Guest> {
    Guest::boot(
        &MadeGuest::find(Path::new(PROGRAM))?,
        &GuestOptions {
            name: name.to_owned(),
            dir: dir.join(name),
            memory_mib: 3072,
            disk_bytes: 4 << 30,
            cables: Vec::new(),
        },
    )
}
