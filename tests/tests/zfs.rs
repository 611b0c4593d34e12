//! The contract of the trait `Zfs` over a real ZFS: a private zfs-fuse, or the kernel's. Needs root.

use bootstash_tests::contract::{self, Driver};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    // The same folder each time, so that a run cleans what one that died has left.
    contract::on_real_zfs(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("zfs-host"), Driver::Commands)
}
