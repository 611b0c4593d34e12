//! The contract of the door to ZFS over a real ZFS: a private zfs-fuse, or the kernel's. Needs root.

use bootstash_tests::contract::{self, Door};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    // The same folder each time, so that a run cleans what one that died has left.
    contract::on_real_zfs(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("zfs-host"), Door::Commands)
}
