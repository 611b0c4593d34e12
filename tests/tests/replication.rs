//! The daemons over a real ZFS, without guests: a private zfs-fuse, or the kernel's. Needs root.

use bootstash_tests::replication;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    replication::on_real_zfs(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("replication"))
}
