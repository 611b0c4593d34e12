//! `bench-catch-up`: what a node needs to catch up, on a real ZFS. Needs root.

use bootstash_tests::replication;
use std::process::ExitCode;

fn main() -> ExitCode {
    replication::measure_catching_up(&std::env::temp_dir().join("bootstash-bench-catch-up"))
}
