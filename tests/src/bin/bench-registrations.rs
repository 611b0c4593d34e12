//! `bench-registrations`: whether registering and applying get slower with each image, on a real ZFS. Needs root.
//! The argument is the number of images.

use bootstash_tests::replication;
use std::process::ExitCode;

const IMAGES: usize = 1000;

fn main() -> ExitCode {
    let count = std::env::args().nth(1).map_or(Ok(IMAGES), |text| text.parse());
    let Ok(count) = count else {
        eprintln!("bench-registrations: give the number of images");
        return ExitCode::FAILURE;
    };
    replication::measure_registrations(&std::env::temp_dir().join("bootstash-bench-registrations"), count)
}
