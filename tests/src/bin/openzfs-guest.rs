//! What runs inside a guest with OpenZFS: its first program, and the suites over its ZFS.

use bootstash_tests::contract::{self, Door};
use bootstash_tests::{openzfs, replication};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    if std::process::id() == 1 {
        return first();
    }
    match std::env::var("SUITE").as_deref() {
        Ok("contract") => contract::on_real_zfs(Path::new("/tmp/zfs-host"), Door::Commands),
        Ok("replication") => replication::on_real_zfs(Path::new("/tmp/replication")),
        other => {
            eprintln!("SUITE={other:?} is no suite: contract, replication");
            ExitCode::FAILURE
        }
    }
}

fn first() -> ExitCode {
    // The kernel panics when its first program ends, and QEMU with it.
    if let Err(error) = openzfs::run_init() {
        println!("guest: {error:#}");
    }
    ExitCode::FAILURE
}
