//! How long the registrar takes to answer for very many images, over its socket.

use super::Fleet;
use anyhow::{Context, Result, ensure};
use bootstash_agent::follow::Intervals;
use bootstash_delta::catalog;
use bootstash_net::api::{Client, ImageView, ImagesQuery, RegistrarStatus, routes};
use serde::Serialize;
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};

/// Of each kind of question.
const QUESTIONS: usize = 21;
/// Longer than the registrar takes to notice what it did not do itself.
const NOTICED: Duration = Duration::from_secs(60);
/// Images that a short list has.
const LIMIT: usize = 20;

/// What was measured, each the median.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CatalogFigures {
    /// Images in the volume.
    pub images: usize,
    /// The first list after all of them changed, which reads every manifest.
    pub first_ms: f64,
    /// The whole list.
    pub all_ms: f64,
    /// A list of [`LIMIT`] that match a pattern.
    pub pattern_ms: f64,
    /// The registrar's status.
    pub status_ms: f64,
}

/// Fills a volume with `count` images, and asks.
///
/// # Errors
/// When they cannot be written, or are not listed.
pub async fn measure(count: usize) -> Result<CatalogFigures> {
    let fleet = Fleet::start(0, false, Intervals::default()).await?;
    copy_first(&fleet.mountpoint()?, count)?;
    let client = fleet.client();
    let first_ms = until_listed(client, count).await?;
    let all = ImagesQuery::default();
    let some =
        ImagesQuery { pattern: Some("image-0*".parse()?), limit: Some(LIMIT), ..ImagesQuery::default() };
    let figures = CatalogFigures {
        images: count,
        first_ms,
        all_ms: median(async || list(client, &all, count).await).await?,
        pattern_ms: median(async || list(client, &some, LIMIT).await).await?,
        status_ms: median(async || status(client, count).await).await?,
    };
    fleet.stop().await?;
    Ok(figures)
}

/// Behind the registrar's back: the first image, again and again.
fn copy_first(mountpoint: &Path, count: usize) -> Result<()> {
    let images = catalog::images_dir(mountpoint);
    let first = std::fs::read(images.join("first").join(catalog::MANIFEST_FILE))?;
    let mut manifest: Value = serde_json::from_slice(&first)?;
    for number in 1..count {
        let name = format!("image-{number:05}");
        let dir = images.join(&name);
        std::fs::create_dir(&dir)?;
        manifest["name"] = Value::String(name);
        std::fs::write(dir.join(catalog::MANIFEST_FILE), serde_json::to_vec_pretty(&manifest)?)?;
    }
    Ok(())
}

async fn until_listed(client: &Client, count: usize) -> Result<f64> {
    let deadline = Instant::now() + NOTICED;
    loop {
        let asked = Instant::now();
        let images: Vec<ImageView> = client.get(routes::IMAGES, &ImagesQuery::default()).await?;
        if images.len() == count {
            return Ok(asked.elapsed().as_secs_f64() * 1e3);
        }
        ensure!(Instant::now() < deadline, "{} of {count} images are listed", images.len());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn list(client: &Client, query: &ImagesQuery, count: usize) -> Result<()> {
    let images: Vec<ImageView> = client.get(routes::IMAGES, query).await?;
    ensure!(images.len() == count, "{} images are listed, and not {count}", images.len());
    Ok(())
}

async fn status(client: &Client, count: usize) -> Result<()> {
    let status: RegistrarStatus = client.get(routes::STATUS, &()).await?;
    ensure!(status.images == count as u64, "the status tells of {} images", status.images);
    Ok(())
}

async fn median(ask: impl AsyncFn() -> Result<()>) -> Result<f64> {
    let mut times = Vec::with_capacity(QUESTIONS);
    for _ in 0..QUESTIONS {
        let asked = Instant::now();
        ask().await?;
        times.push(asked.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    times.get(QUESTIONS / 2).copied().context("nothing was asked")
}

/// For people.
pub fn render_catalog(figures: &CatalogFigures) -> String {
    let CatalogFigures { images, first_ms, all_ms, pattern_ms, status_ms } = figures;
    format!(
        "{images} images, medians of {QUESTIONS}\n\
         all listed, none known before  {first_ms:7.1} ms\n\
         all listed                     {all_ms:7.1} ms\n\
         {LIMIT} that match a pattern       {pattern_ms:7.1} ms\n\
         status                         {status_ms:7.1} ms"
    )
}
