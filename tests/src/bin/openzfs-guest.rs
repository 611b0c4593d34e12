//! What runs inside a guest with OpenZFS: its first program, and the suites over its ZFS. On the
//! host, `openzfs-guest run DIR PROGRAM [ARGUMENT...]` boots one for a program, and ends it after.

use anyhow::{Context, Result};
use bootstash_tests::contract::{self, Driver};
use bootstash_tests::openzfs::{Guest, GuestOptions, MadeGuest, run_init};
use bootstash_tests::replication;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// Under emulation, on cores that do other things too.
const LIMIT: Duration = Duration::from_secs(90 * 60);

const REGISTRATIONS: &str = "registrations";
/// Memory of a guest; half of it is for files, the pool among them.
const MEMORY_MIB: u32 = 3072;
/// That of one whose pool is written to until all of its file has been used once.
const POOL_FILLED_MIB: u32 = 6144;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    match words.get(1..) {
        _ if std::process::id() == 1 => first(),
        Some(["run", dir, program @ ..]) => in_guest(Path::new(dir), program).unwrap_or_else(|error| {
            eprintln!("openzfs-guest: {error:#}");
            ExitCode::FAILURE
        }),
        Some([REGISTRATIONS, count]) => registrations(count),
        _ => suite(),
    }
}

/// As `bench-registrations` does it on the host.
fn registrations(count: &str) -> ExitCode {
    match count.parse() {
        Ok(count) => replication::measure_registrations(Path::new("/run/registrations"), count),
        Err(_) => {
            eprintln!("openzfs-guest: registrations {count}: give the number of images");
            ExitCode::FAILURE
        }
    }
}

fn first() -> ExitCode {
    // The kernel panics when its first program ends, and QEMU with it.
    if let Err(error) = run_init() {
        println!("guest: {error:#}");
    }
    ExitCode::FAILURE
}

/// The suite that the environment names; its arguments are those of a test program.
fn suite() -> ExitCode {
    match std::env::var("SUITE").as_deref() {
        Ok("contract") => contract::on_real_zfs(Path::new("/run/zfs-host"), Driver::Commands),
        Ok("replication") => replication::on_real_zfs(Path::new("/run/replication")),
        other => {
            eprintln!("openzfs-guest: SUITE={other:?} is no suite; there are contract and replication");
            ExitCode::FAILURE
        }
    }
}

/// Runs a program in a new guest, which sees `dir/share` as `/share`; gives its exit status.
fn in_guest(dir: &Path, program: &[&str]) -> Result<ExitCode> {
    std::fs::create_dir_all(dir)?;
    let options = GuestOptions {
        name: "openzfs".to_owned(),
        // QEMU's own idea of where it runs is not ours.
        dir: dir.canonicalize()?,
        memory_mib: if program.contains(&REGISTRATIONS) { POOL_FILLED_MIB } else { MEMORY_MIB },
        disk_bytes: 4 << 30,
        cables: Vec::new(),
    };
    let own = std::env::current_exe().context("where is this program?")?;
    let guests = Guest::boot_all(&MadeGuest::find(&own)?, &[options])?;
    let told = guests[0].show(program, &[], LIMIT)?;
    Ok(ExitCode::from(u8::try_from(told.code).unwrap_or(1)))
}
