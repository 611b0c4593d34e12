//! What runs inside a guest with OpenZFS: its first program, and the suites over its ZFS.

use bootstash_tests::contract::{self, Door};
use std::process::ExitCode;

fn main() -> ExitCode {
    if std::process::id() != 1 {
        return contract::on_real_zfs(std::path::Path::new("/tmp/zfs-host"), Door::Commands);
    }
    // The kernel panics when its first program ends, and QEMU with it.
    if let Err(error) = bootstash_tests::openzfs::run_init() {
        println!("guest: {error:#}");
    }
    ExitCode::FAILURE
}
