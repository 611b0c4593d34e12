//! What runs inside a guest with OpenZFS: its first program, and the suites over its ZFS. On the
//! host, `openzfs-guest run DIR PROGRAM [ARGUMENT...]` boots one for a program, and ends it after.

use anyhow::{Context, Result};
use bootstash_tests::contract::{self, Door};
use bootstash_tests::openzfs::{Guest, GuestOptions, MadeGuest, run_init};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// Under emulation, on cores that do other things too.
const LIMIT: Duration = Duration::from_secs(30 * 60);

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    if std::process::id() == 1 {
        // The kernel panics when its first program ends, and QEMU with it.
        if let Err(error) = run_init() {
            println!("guest: {error:#}");
        }
        return ExitCode::FAILURE;
    }
    match words.get(1..) {
        Some(["run", dir, program @ ..]) => match in_guest(Path::new(dir), program) {
            Ok(code) => code,
            Err(error) => {
                eprintln!("openzfs-guest: {error:#}");
                ExitCode::FAILURE
            }
        },
        _ => contract::on_real_zfs(Path::new("/tmp/zfs-host"), Door::Commands),
    }
}

/// Runs a program in a new guest, which sees `dir/share` as `/share`; gives its exit status.
fn in_guest(dir: &Path, program: &[&str]) -> Result<ExitCode> {
    std::fs::create_dir_all(dir)?;
    let options = GuestOptions {
        name: "openzfs".to_owned(),
        // QEMU's own idea of where it runs is not ours.
        dir: dir.canonicalize()?,
        memory_mib: 3072,
        disk_bytes: 4 << 30,
        cables: Vec::new(),
    };
    let own = std::env::current_exe().context("where is this program?")?;
    let guest = Guest::boot(&MadeGuest::find(&own)?, &options)?;
    let told = guest.show(program, &[], LIMIT)?;
    Ok(ExitCode::from(u8::try_from(told.code).unwrap_or(1)))
}
