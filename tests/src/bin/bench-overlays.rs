//! `bench-overlays`: how many overlays a second a node makes and removes, on a real ZFS. Needs root and `qemu-img`.
//! The argument is how many.

use bootstash_tests::replication;
use std::process::ExitCode;

const OVERLAYS: usize = 1000;

fn main() -> ExitCode {
    let count = std::env::args().nth(1).map_or(Ok(OVERLAYS), |text| text.parse());
    let Ok(count) = count else {
        eprintln!("bench-overlays: give the number of overlays");
        return ExitCode::FAILURE;
    };
    replication::measure_overlays(&std::env::temp_dir().join("bootstash-bench-overlays"), count)
}
