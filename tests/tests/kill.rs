//! Killed at any step, on a real ZFS: a private zfs-fuse, or the kernel's. Needs root.

use bootstash_tests::kill;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    kill::on_real_zfs(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("kill"))
}
