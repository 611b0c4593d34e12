//! Whether each registration makes the next one slower: many tiny caches over a real ZFS, one after the other.

use super::capturer::TINY_CACHE_BYTES;
use super::cluster::Cluster;
use crate::demo::report;
use crate::demo::table::{finish, new};
use anyhow::{Context, Result};
use serde::Serialize;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::time::sleep;

const NODE: &str = "node1";
const POLL: Duration = Duration::from_millis(10);
/// The registrations around which medians are taken.
const AT: [usize; 8] = [10, 50, 100, 200, 300, 500, 700, 1000];
/// How many registrations one median is of.
const WINDOW: usize = 10;

/// What one registration took.
#[derive(Clone, Copy, Debug)]
struct Sample {
    register: Duration,
    /// From its end until the registrar knew that the node has it.
    apply: Duration,
}

/// Medians around one registration.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Row {
    registration: usize,
    register_seconds: f64,
    apply_seconds: f64,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Registrations {
    rows: Vec<Row>,
    images: usize,
    /// Listing them all, at the registrar.
    registrar_images_seconds: f64,
    /// The same, at a node.
    node_images_seconds: f64,
}

/// Measures in `dir`, below `pool`, and prints what it found.
pub(super) async fn measure(pool: &str, dir: &Path, count: usize) -> Result<()> {
    std::fs::create_dir_all(dir)?;
    let root = format!("{pool}/registrations").parse()?;
    let cluster = Cluster::start_with_caches(root, dir, Default::default(), TINY_CACHE_BYTES).await?;
    cluster.register("image00000").await?;
    cluster.start_node(NODE).await?;
    cluster.in_step(NODE).await?;
    let mut samples = Vec::with_capacity(count);
    for number in 1..=count {
        samples.push(sample(&cluster, number).await?);
        if number % 50 == 0 {
            eprintln!("{number}: {:?}", medians(&samples, number));
        }
    }
    let registrar_images_seconds = list_seconds(&cluster, "registrar").await?;
    let node_images_seconds = list_seconds(&cluster, NODE).await?;
    cluster.stop().await;
    let rows = rows(&samples);
    let measured = Registrations { rows, images: count + 1, registrar_images_seconds, node_images_seconds };
    println!("{}\n", render(&measured));
    println!("As JSON: {}", report::write("bench/registrations.json", &measured)?.display());
    Ok(())
}

async fn sample(cluster: &Cluster, number: usize) -> Result<Sample> {
    let begun = Instant::now();
    cluster.register(&format!("image{number:05}")).await?;
    let (register, registered) = (begun.elapsed(), Instant::now());
    while cluster.nodes().await?.first().context("the node is not known")?.lag != Some(0) {
        sleep(POLL).await;
    }
    Ok(Sample { register, apply: registered.elapsed() })
}

/// The median of a few tries.
async fn list_seconds(cluster: &Cluster, daemon: &str) -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..5 {
        let begun = Instant::now();
        cluster.images(daemon).await?;
        times.push(begun.elapsed());
    }
    Ok(median(times))
}

fn rows(samples: &[Sample]) -> Vec<Row> {
    AT.into_iter().filter(|at| *at <= samples.len()).map(|at| medians(samples, at)).collect()
}

/// Of the window that ends at registration `at`.
fn medians(samples: &[Sample], at: usize) -> Row {
    let window = &samples[at.saturating_sub(WINDOW)..at];
    Row {
        registration: at,
        register_seconds: median(window.iter().map(|sample| sample.register).collect()),
        apply_seconds: median(window.iter().map(|sample| sample.apply).collect()),
    }
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times.get(times.len() / 2).map_or(0.0, Duration::as_secs_f64)
}

fn render(measured: &Registrations) -> String {
    let mut table = new(["REGISTRATION", "SECONDS", "UNTIL ON THE NODE"]);
    for row in &measured.rows {
        table.add_row([
            row.registration.to_string(),
            format!("{:.2}", row.register_seconds),
            format!("{:.2}", row.apply_seconds),
        ]);
    }
    format!(
        "{}\n\nListing {} images: {:.0} ms at the registrar, {:.0} ms at the node",
        finish(table),
        measured.images,
        measured.registrar_images_seconds * 1000.0,
        measured.node_images_seconds * 1000.0
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_of_the_registrations_before() {
        let sample =
            |ms| Sample { register: Duration::from_millis(ms), apply: Duration::from_millis(2 * ms) };
        let samples: Vec<_> = (1..=60).map(sample).collect();
        let rows = rows(&samples);
        assert_eq!(rows.iter().map(|row| row.registration).collect::<Vec<_>>(), [10, 50]);
        assert_eq!((rows[1].register_seconds, rows[1].apply_seconds), (0.046, 0.092));
        let images =
            Registrations { rows, images: 61, registrar_images_seconds: 0.02, node_images_seconds: 0.01 };
        let text = render(&images);
        assert!(text.contains("0.05") && text.contains("20 ms at the registrar, 10 ms"), "{text}");
    }
}
