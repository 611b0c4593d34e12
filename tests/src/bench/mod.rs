//! Speed and memory of the main job, measured on real parts: one image registered, applied on one
//! node, booted there without its base. It judges nothing: figures are for people and for comparison.

pub mod table;

use crate::lab::registration::register_early;
use crate::lab::warm_boot::{WarmBoot, warm_boot};
use crate::lab::{Host, Lab, LabPlan, Program, wait};
use crate::prometheus;
use anyhow::{Context, Result, ensure};
use bootstash_delta::catalog::BootRecord;
use bootstash_net::api::Step;
use serde::Serialize;
use std::path::Path;
use std::time::Duration;

const IMAGE: &str = "debian12";
const DELIVERY_LIMIT: Duration = Duration::from_secs(60);
const AGENT_METRICS: &str = "127.0.0.1:7431";

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// The name of the image.
    pub image: String,
    /// Size of its boot cache.
    pub cache_bytes: u64,
    /// Size of the delta that carries it.
    pub delta_bytes: u64,
    /// Size of the delta that carries what later boots added.
    pub following_delta_bytes: u64,
    /// How many boots were made before nodes had the image.
    pub first_round: u32,
    /// The capture boots.
    pub boots: Vec<BootRecord>,
    /// The steps of registering.
    pub steps: Vec<StepFigures>,
    /// All steps and the node's until it has the image, over one boot to its login prompt.
    pub register_over_one_boot: f64,
    /// All steps, without the time that guests booted.
    pub register_less_boots_seconds: f64,
    /// Fetching and applying the delta on a node.
    pub apply_seconds: f64,
    /// The bytes that the node gains by that, per second.
    pub apply_bytes_per_second: f64,
    /// The most memory the agent ever had.
    pub agent_peak_rss_bytes: u64,
    /// The most memory the registrar ever had.
    pub registrar_peak_rss_bytes: u64,
    /// A boot from a base that refused every read.
    pub warm_boot: WarmBoot,
}

/// A step of registering.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepFigures {
    /// The name of the registration step.
    pub step: String,
    /// What it took; for the capture without its boots.
    pub seconds: f64,
    /// Bytes of boot cache that it processed per second; none for a step that reads no cache.
    pub bytes_per_second: Option<f64>,
}

/// Measures, in a lab of its own which is gone at the end.
///
/// # Errors
/// When something does not work at all.
pub fn run() -> Result<Figures> {
    let lab = Lab::build(&LabPlan::new(1))?;
    lab.start_daemons()?;
    let (storage, node) = (lab.storage(), lab.host("node1"));
    println!("registering {IMAGE}; a node has it after the first boots");
    let source = Path::new(crate::lab::IMAGES_DIR).join(format!("{IMAGE}.raw"));
    let registration = register_early(storage, IMAGE, &source)?;
    wait_for_image(node)?;
    let apply_seconds = apply_seconds(&lab, node)?;
    println!("its other boots follow");
    let following = register_early(storage, IMAGE, &source)?;
    ensure!(following.job.follows_up, "all boots were made at once: there are more processors than boots");
    lab.wait_in_step()?;
    println!("booting it on a node, without its base");
    let warm_boot = warm_boot(node, IMAGE)?;

    let (cache_bytes, delta_bytes, first_round) = registration.facts()?;
    let boots = storage.images()?.pop().context("nothing is registered")?.manifest.boots;
    let taken = &registration.job.step_seconds;
    let steps = step_figures(taken, booting_seconds(&boots[..first_round as usize]), cache_bytes);
    let until_usable_seconds = taken.iter().map(|(_, seconds)| seconds).sum::<f64>() + apply_seconds;
    let figures = Figures {
        image: IMAGE.to_owned(),
        cache_bytes,
        delta_bytes,
        following_delta_bytes: following.facts()?.1,
        first_round,
        boots,
        register_over_one_boot: until_usable_seconds / warm_boot.seconds,
        register_less_boots_seconds: steps.iter().map(|step| step.seconds).sum(),
        steps,
        apply_seconds,
        apply_bytes_per_second: cache_bytes as f64 / apply_seconds,
        agent_peak_rss_bytes: peak_rss_bytes(node, Program::Agent)?,
        registrar_peak_rss_bytes: peak_rss_bytes(storage, Program::Registrar)?,
        warm_boot,
    };
    lab.finish()?;
    Ok(figures)
}

fn wait_for_image(node: &Host) -> Result<()> {
    let what = format!("{} to have {IMAGE}", node.name());
    wait::until(&what, DELIVERY_LIMIT, || {
        let there = node.image_names()?.iter().any(|name| name == IMAGE);
        Ok(there.then_some(()))
    })
}

fn step_figures(steps: &[(Step, f64)], boot_seconds: f64, cache_bytes: u64) -> Vec<StepFigures> {
    let figures = |&(step, seconds): &(Step, f64)| {
        let seconds = if step == Step::Capture { (seconds - boot_seconds).max(0.0) } else { seconds };
        let goes_through = matches!(step, Step::Capture | Step::Verify | Step::Import | Step::Publish);
        let bytes_per_second = goes_through.then(|| cache_bytes as f64 / seconds);
        StepFigures { step: step.to_string(), seconds, bytes_per_second }
    };
    steps.iter().map(figures).collect()
}

/// How long at least one of the boots ran: they run side by side where there are processors.
fn booting_seconds(boots: &[BootRecord]) -> f64 {
    let mut runs: Vec<(f64, f64)> =
        boots.iter().map(|boot| (boot.began_seconds, boot.began_seconds + boot.seconds)).collect();
    runs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut booting, mut until) = (0.0, f64::NEG_INFINITY);
    for (began, ended) in runs {
        booting += (ended - began.max(until)).max(0.0);
        until = until.max(ended);
    }
    booting
}

fn apply_seconds(lab: &Lab, node: &Host) -> Result<f64> {
    let scrape = prometheus::parse(&lab.scrape(node, AGENT_METRICS)?)?;
    scrape.value("bootstash_agent_apply_seconds_sum").context("the agent does not tell how long it applied")
}

fn peak_rss_bytes(host: &Host, program: Program) -> Result<u64> {
    let pid = host.pid(program).with_context(|| format!("{} does not run", program.name()))?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    parse_peak(&status).with_context(|| format!("no VmHWM of {}", program.name()))
}

fn parse_peak(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bootstash_delta::catalog::BootSignal;

    #[test]
    fn a_capture_counts_without_its_boots() {
        let steps = step_figures(&[(Step::Inspect, 0.5), (Step::Capture, 103.0)], 100.0, 6000);
        assert_eq!(steps.iter().map(|step| step.seconds).collect::<Vec<_>>(), [0.5, 3.0]);
        assert_eq!(steps[0].bytes_per_second, None);
        assert_eq!(steps[1].bytes_per_second, Some(2000.0));
    }

    #[test]
    fn boots_side_by_side_count_once() {
        let boot = |began_seconds, seconds| BootRecord {
            seconds,
            base_bytes: 0,
            new_clusters: 0,
            signal: BootSignal::LoginPrompt,
            profile: None,
            began_seconds,
            retried_after: None,
        };
        let boots = [boot(0.0, 10.0), boot(1.0, 12.0), boot(2.0, 3.0), boot(20.0, 5.0)];
        assert_eq!(booting_seconds(&boots), 18.0);
        assert_eq!(booting_seconds(&[]), 0.0);
    }

    #[test]
    fn reads_the_kernels_peak() {
        assert_eq!(parse_peak("Name: a\nVmHWM:\t   20 kB\n"), Some(20_480));
        assert_eq!(parse_peak("Name: a\n"), None);
    }
}
