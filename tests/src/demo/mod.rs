//! The main job on real parts: three images registered, held by two nodes, one of them booted on
//! each node without its base, one deregistered and collected.

pub mod narrate;
pub mod report;
pub mod table;

use crate::lab::membership::registrar_address;
use crate::lab::registration::{Registration, register};
use crate::lab::warm_boot::{WarmBoot, warm_boot};
use crate::lab::{Host, IMAGES_DIR, Lab, LabPlan};
use crate::prometheus;
use anyhow::{Context, Result, bail, ensure};
use bootstash_net::api::JobView;
use bootstash_zfs::Usage;
use narrate::Narrator;
use report::{ImageReport, NodeReport, PropagationReport, Report, VolumeReport};
use std::path::Path;
use std::thread;

const NODES: usize = 2;
/// The variant shares most of its blocks with the first, the last next to none.
const IMAGES: [&str; 3] = ["debian12", "debian12-nginx", "alpine"];
const BOOTED: &str = "debian12-nginx";
const DEREGISTERED: &str = "alpine";
const MULTICAST: &str =
    "[multicast]\ngroup = \"239.77.66.1:7434\"\ninterface = \"eth0\"\nrate_bytes_per_second = 12500000\n";

/// Runs the demo in a lab of its own, which is gone at its end.
///
/// # Errors
/// When anything is not as it should be.
pub fn run(narrator: &Narrator) -> Result<Report> {
    narrator.say(&format!("building a lab: a storage node and {NODES} compute nodes"));
    // Boots of different images share the processors: waiting for quiet in one is time for another.
    let plan = LabPlan::new(NODES).registrar("[capture]\nparallel = 3\n")?.registrar(MULTICAST)?;
    let lab = Lab::build(&plan)?;
    // Where the kernel grants small buffers.
    lab.expect_log("the socket for multicast holds");
    lab.start_daemons()?;
    narrator.say("registrar and agents run; registering three images at once");
    let registrations = register_all(lab.storage(), narrator)?;
    lab.wait_in_step()?;
    let volume = volume(&lab.storage().registrar_status()?.usage.context("ZFS tells no figures")?);
    check_held(&lab, &IMAGES)?;
    narrator.say(&format!("both nodes hold {}", IMAGES.join(", ")));
    narrator.say(&format!("booting {BOOTED} on each node; every read of its base fails"));
    let boots = boot_everywhere(&lab, narrator)?;
    deregister(&lab, narrator)?;
    let nodes = lab.nodes().iter().map(|node| node_report(&lab, node)).collect::<Result<_>>()?;
    let images = registrations.iter().map(image_report).collect::<Result<_>>()?;
    let propagation = propagation(&lab)?;
    lab.finish()?;
    narrator.say("the lab is gone");
    Ok(Report { images, nodes, boots, volume, propagation })
}

fn register_all(storage: &Host, narrator: &Narrator) -> Result<Vec<Registration>> {
    thread::scope(|scope| {
        let threads = IMAGES.map(|name| scope.spawn(move || register_one(storage, name, narrator)));
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| bail!("a thread died"))).collect()
    })
}

fn register_one(storage: &Host, name: &str, narrator: &Narrator) -> Result<Registration> {
    let source = Path::new(IMAGES_DIR).join(format!("{name}.raw"));
    let mut last = None;
    let registration = register(storage, name, &source, |job| {
        let at = (job.step, job.progress.boot);
        if job.outcome.is_none() && last.replace(at) != Some(at) {
            narrator.say(&step_line(name, job));
        }
    })?;
    let (cache_bytes, _, boots) = registration.facts()?;
    let cache = narrate::size(cache_bytes);
    narrator.say(&format!("{name}: registered after {boots} boots, a cache of {cache}"));
    Ok(registration)
}

fn step_line(name: &str, job: &JobView) -> String {
    match job.progress.boot {
        Some(boot) => format!("{name}: {}, boot {boot}", job.step),
        None => format!("{name}: {}", job.step),
    }
}

/// Each node lists exactly these images.
fn check_held(lab: &Lab, names: &[&str]) -> Result<()> {
    for node in lab.nodes() {
        let (mut held, mut expected) = (node.image_names()?, names.to_vec());
        held.sort();
        expected.sort_unstable();
        ensure!(held == expected, "{} holds {held:?}, and should hold {expected:?}", node.name());
    }
    Ok(())
}

fn boot_everywhere(lab: &Lab, narrator: &Narrator) -> Result<Vec<WarmBoot>> {
    let boot = |node| -> Result<WarmBoot> {
        let boot = warm_boot(node, BOOTED)?;
        let (base, seconds) = (boot.base_bytes_read, boot.seconds);
        narrator.say(&format!("{}: login prompt after {seconds:.0} s, {base} bytes of the base", boot.node));
        let reads = &boot.base_reads;
        ensure!(base == 0, "{} read {base} bytes of its base, and should read none: {reads:?}", boot.node);
        Ok(boot)
    };
    thread::scope(|scope| {
        let threads: Vec<_> = lab.nodes().iter().map(|node| scope.spawn(move || boot(node))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| bail!("a thread died"))).collect()
    })
}

fn deregister(lab: &Lab, narrator: &Narrator) -> Result<()> {
    let storage = lab.storage();
    storage.bootstash(["deregister", DEREGISTERED, "--publish"])?.success()?;
    lab.wait_in_step()?;
    check_held(lab, &[IMAGES[0], IMAGES[1]])?;
    narrator.say(&format!("{DEREGISTERED} is deregistered; the nodes dropped it too"));
    for host in lab.nodes().iter().chain([storage]) {
        host.bootstash(["gc", "--window", "0s"])?.success()?;
    }
    let left = storage.registrar_status()?.snapshots;
    ensure!(left == 1, "the registrar has {left} snapshots after collecting, and should have 1");
    for node in lab.nodes() {
        let status = node.agent_status()?;
        let left = (status.snapshots, status.views);
        ensure!(left == (1, 0), "{} has {left:?} snapshots and views, and should have 1 and 0", node.name());
    }
    narrator.say("old snapshots and views are collected everywhere");
    Ok(())
}

fn image_report(registration: &Registration) -> Result<ImageReport> {
    let (cache_bytes, delta_bytes, boots) = registration.facts()?;
    let source = registration.job.source.file_name().context("an image without a file name")?;
    let file = crate::lab::plan::images_cache().join(source);
    Ok(ImageReport {
        name: registration.job.name.to_string(),
        image_bytes: file.metadata().with_context(|| file.display().to_string())?.len(),
        cache_bytes,
        boots,
        register_seconds: registration.seconds,
        delta_bytes,
    })
}

fn node_report(lab: &Lab, node: &Host) -> Result<NodeReport> {
    let known = lab.storage().nodes()?;
    let known = known.into_iter().find(|known| known.name.as_str() == node.name());
    let known = known.with_context(|| format!("the registrar does not know {}", node.name()))?;
    let report = NodeReport {
        name: node.name().to_owned(),
        snapshot: known.snapshot.context("a node in step has a snapshot")?.to_string(),
        lag: known.lag.context("a node in step has a known lag")?,
        agent_rss_bytes: node.agent_status()?.rss_bytes,
    };
    ensure!(report.lag == 0, "{} is {} snapshots behind", report.name, report.lag);
    Ok(report)
}

/// How what was published came to the nodes, as the registrar counts it.
fn propagation(lab: &Lab) -> Result<PropagationReport> {
    let scrape = prometheus::parse(&lab.scrape(lab.storage(), &registrar_address())?)?;
    let count = |name: &str| scrape.value(&format!("bootstash_registrar_{name}")).unwrap_or_default() as u64;
    let sent = |kind| count(&format!("multicast_sent_bytes_total{{kind=\"{kind}\"}}"));
    let served = |kind| count(&format!("served_bytes_total{{kind=\"{kind}\"}}"));
    let report = PropagationReport {
        sent_once_bytes: sent("source"),
        repair_bytes: sent("repair"),
        unicast_bytes: served("delta") + served("full"),
    };
    ensure!(report.sent_once_bytes > 0, "nothing was sent to all nodes at once: {report:?}");
    Ok(report)
}

fn volume(usage: &Usage) -> VolumeReport {
    VolumeReport {
        logical_bytes: usage.logical_bytes,
        used_bytes: usage.used_bytes,
        dedup_ratio: usage.dedup_ratio,
        compress_ratio: usage.compress_ratio,
    }
}
