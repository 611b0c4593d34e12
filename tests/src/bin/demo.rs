//! `demo`: does the main job on real parts, says what it does, and shows what came of it.

use anyhow::{Result, bail};
use bootstash_tests::demo::narrate::Narrator;
use bootstash_tests::demo::{report, run, table};
use bootstash_tests::lab::interrupt;

fn main() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("the demo needs root (namespaces, mounts, pools); run it with sudo");
    }
    interrupt::remove_labs_on_signals()?;
    let narrator = Narrator::begin();
    let found = run(&narrator)?;
    let file = report::write("demo/report.json", &found)?;
    println!("\n{}\n", table::render(&found));
    println!("All as it should be, in {:.0} s; as JSON: {}", narrator.seconds(), file.display());
    Ok(())
}
