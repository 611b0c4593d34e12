//! `bench-images`: how long the registrar takes to answer for ten thousand images.

use anyhow::Result;
use bootstash_tests::demo::report;
use bootstash_tests::load;

const IMAGES: usize = 10_000;

fn main() -> Result<()> {
    let figures = tokio::runtime::Runtime::new()?.block_on(load::measure_catalog(IMAGES))?;
    let file = report::write("bench/images.json", &figures)?;
    println!("{}\n\nAs JSON: {}", load::render_catalog(&figures), file.display());
    Ok(())
}
