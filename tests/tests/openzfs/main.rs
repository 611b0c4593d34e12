//! The suites over OpenZFS, in guests that have it in their kernel. Needs `make openzfs`, and QEMU.

mod end_to_end;
mod suites;

use anyhow::Result;
use bootstash_tests::openzfs::{Cable, Guest, GuestOptions, MadeGuest};
use std::path::Path;

/// What is a guest's first program, and runs the suites.
const PROGRAM: &str = env!("CARGO_BIN_EXE_openzfs-guest");

fn options(dir: &Path, name: &str, memory_mib: u32, cables: Vec<(Cable, String)>) -> GuestOptions {
    GuestOptions { name: name.to_owned(), dir: dir.join(name), memory_mib, disk_bytes: 2 << 30, cables }
}

fn boot(options: &[GuestOptions]) -> Result<Vec<Guest>> {
    let guests = Guest::boot_all(&MadeGuest::find(Path::new(PROGRAM))?, options)?;
    for (guest, options) in guests.iter().zip(options) {
        println!("guest {} up in {:.1} s", options.name, guest.booted_in().as_secs_f64());
    }
    Ok(guests)
}
