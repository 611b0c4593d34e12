//! `bench`: measures the main job on real parts and writes what it found.

use anyhow::{Result, bail};
use bootstash_tests::bench::{run, table};
use bootstash_tests::demo::report;
use bootstash_tests::lab::interrupt;

fn main() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("the bench needs root (namespaces, mounts, pools); run it with sudo");
    }
    interrupt::remove_labs_on_signals()?;
    let figures = run()?;
    let file = report::write("bench/main.json", &figures)?;
    println!("\n{}\n\nAs JSON: {}", table::render(&figures), file.display());
    Ok(())
}
