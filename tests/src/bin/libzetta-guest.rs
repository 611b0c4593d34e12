//! What runs in a guest with OpenZFS where libzfs_core is wanted: the contract over it, or its figures.

use bootstash_tests::contract::{self, Driver};
use bootstash_tests::libzetta;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() != Some("measure") {
        return contract::on_real_zfs(Path::new("/run/zfs-host"), Driver::Libzetta);
    }
    match libzetta::measure() {
        Ok(table) => {
            println!("{table}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error:?}");
            ExitCode::FAILURE
        }
    }
}
