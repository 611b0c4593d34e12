//! How many overlays a second a node makes and removes, over its socket and by the command, idle and while it catches
//! up; and how long its agent takes to start with many.

use super::cluster::Cluster;
use super::overlay_rows::{Row, Times, render};
use crate::demo::report;
use anyhow::{Context, Result, ensure};
use bootstash_net::api::AgentState;
use bootstash_qemu::Qemu;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::sleep;

const NODE: &str = "node1";
const IMAGE: &str = "image";
/// Who ask at the same time.
const CALLERS: usize = 8;
/// Calls one after the other, as of a person or a script.
const IN_TURN: usize = 200;
/// Runs of the command.
const COMMANDS: usize = 50;
/// Deltas that the node missed.
const MISSED: usize = 40;
const POLL: Duration = Duration::from_millis(20);

/// What is asked of the node.
#[derive(Clone, Copy, Debug)]
enum Verb {
    Create,
    Remove,
    /// Create, by a process.
    Command,
}

/// Measures in `dir`, below `pool`, and prints what it found.
pub(super) async fn measure(pool: &str, dir: &Path, count: usize) -> Result<()> {
    std::fs::create_dir_all(dir.join("vms"))?;
    let cluster = Cluster::start(format!("{pool}/overlays").parse()?, dir, Default::default()).await?;
    let cluster = Arc::new(cluster.making_overlays_by(Arc::new(Qemu::find()?)));
    cluster.register(IMAGE).await?;
    cluster.start_node(NODE).await?;
    cluster.in_step(NODE).await?;
    let mut rows = idle(&cluster, count).await?;
    rows.extend(by_command(&cluster).await?);
    rows.extend(start_with_many(&cluster, 2 * count).await?);
    rows.extend(while_catching_up(&cluster).await?);
    Arc::into_inner(cluster).context("a caller has not ended")?.stop().await;
    println!("{}\n", render(&rows));
    println!("As JSON: {}", report::write("bench/overlays.json", &rows)?.display());
    Ok(())
}

/// The first one has the view made, and stays; the others are what is asked about.
async fn idle(cluster: &Arc<Cluster>, count: usize) -> Result<Vec<Row>> {
    let first = in_turn(cluster, Verb::Create, "first", 1).await?;
    let made = in_turn(cluster, Verb::Create, "turn", IN_TURN).await?;
    let removed = in_turn(cluster, Verb::Remove, "turn", IN_TURN).await?;
    let many_made = at_once(cluster, Verb::Create, "many", count).await?;
    let many_removed = at_once(cluster, Verb::Remove, "many", count).await?;
    Ok(vec![
        Row::told("first overlay of a snapshot, ms", first.longest_ms()),
        Row::told("create in turn, median ms", made.median_ms()),
        Row::at_most("create in turn, p95 ms", made.p95_ms(), 20.0),
        Row::told("remove in turn, median ms", removed.median_ms()),
        Row::at_most("remove in turn, p95 ms", removed.p95_ms(), 20.0),
        Row::at_least(&format!("create by {CALLERS} callers, per second"), many_made.per_second(), 200.0),
        Row::told(&format!("create by {CALLERS} callers, p95 ms"), many_made.p95_ms()),
        Row::at_least(&format!("remove by {CALLERS} callers, per second"), many_removed.per_second(), 200.0),
        Row::told(&format!("remove by {CALLERS} callers, p95 ms"), many_removed.p95_ms()),
    ])
}

/// The same with the start of a process for each.
async fn by_command(cluster: &Arc<Cluster>) -> Result<Vec<Row>> {
    let mut version = Vec::new();
    for _ in 0..COMMANDS {
        let begun = Instant::now();
        run(&["--version"], &cluster.socket(NODE)).await?;
        version.push(begun.elapsed());
    }
    let version = Times::new(version, Duration::ZERO);
    let in_turn = in_turn(cluster, Verb::Command, "command", COMMANDS).await?;
    let at_once = at_once(cluster, Verb::Command, "commands", 4 * COMMANDS).await?;
    Ok(vec![
        Row::told("bootstash --version, median ms", version.median_ms()),
        Row::told("bootstash overlay create in turn, median ms", in_turn.median_ms()),
        Row::told("bootstash overlay create in turn, p95 ms", in_turn.p95_ms()),
        Row::told(
            &format!("bootstash overlay create by {CALLERS} callers, per second"),
            at_once.per_second(),
        ),
    ])
}

async fn start_with_many(cluster: &Arc<Cluster>, count: usize) -> Result<Vec<Row>> {
    let there = cluster.overlays(NODE).await?.len();
    at_once(cluster, Verb::Create, "start", count.saturating_sub(there)).await?;
    cluster.stop_node(NODE).await?;
    let begun = Instant::now();
    cluster.start_node(NODE).await?;
    cluster.node_status(NODE).await?;
    let seconds = begun.elapsed().as_secs_f64();
    ensure!(cluster.overlays(NODE).await?.len() == count.max(there), "overlays were lost");
    cluster.in_step(NODE).await?;
    Ok(vec![Row::at_most(&format!("agent starts with {count} overlays, seconds"), seconds, 2.0)])
}

/// One after the other, from its start until it is in step.
async fn while_catching_up(cluster: &Arc<Cluster>) -> Result<Vec<Row>> {
    cluster.stop_node(NODE).await?;
    for number in 0..MISSED {
        cluster.register(&format!("missed{number}")).await?;
    }
    cluster.start_node(NODE).await?;
    let (begun, mut times) = (Instant::now(), Vec::new());
    while cluster.node_status(NODE).await?.state != AgentState::InStep {
        times.push(call(cluster, Verb::Create, &path(cluster, "behind", times.len())).await?);
        sleep(POLL).await;
    }
    let times = Times::new(times, begun.elapsed());
    let measure = |what: &str| format!("create while {MISSED} deltas are applied, {what} ms");
    Ok(vec![
        Row::told(&measure("median"), times.median_ms()),
        Row::told(&measure("p95"), times.p95_ms()),
        Row::told(&measure("longest"), times.longest_ms()),
    ])
}

async fn in_turn(cluster: &Cluster, verb: Verb, group: &str, count: usize) -> Result<Times> {
    let (begun, mut times) = (Instant::now(), Vec::new());
    for number in 0..count {
        times.push(call(cluster, verb, &path(cluster, group, number)).await?);
    }
    Ok(Times::new(times, begun.elapsed()))
}

/// By callers that each ask again as soon as they are answered.
async fn at_once(cluster: &Arc<Cluster>, verb: Verb, group: &'static str, count: usize) -> Result<Times> {
    let (begun, mut callers, mut times) = (Instant::now(), JoinSet::new(), Vec::new());
    for caller in 0..CALLERS {
        let cluster = Arc::clone(cluster);
        callers.spawn(async move {
            let mut times = Vec::new();
            for number in (caller..count).step_by(CALLERS) {
                times.push(call(&cluster, verb, &path(&cluster, group, number)).await?);
            }
            anyhow::Ok(times)
        });
    }
    while let Some(ended) = callers.join_next().await {
        times.extend(ended??);
    }
    Ok(Times::new(times, begun.elapsed()))
}

async fn call(cluster: &Cluster, verb: Verb, path: &Path) -> Result<Duration> {
    let begun = Instant::now();
    match verb {
        Verb::Create => drop(cluster.overlay_at(NODE, IMAGE, path.to_owned()).await?),
        Verb::Remove => cluster.remove_overlay(NODE, path).await?,
        Verb::Command => {
            let path = path.to_str().context("the bench's folder has a strange name")?;
            run(&["overlay", "create", IMAGE, path], &cluster.socket(NODE)).await?;
        }
    }
    Ok(begun.elapsed())
}

fn path(cluster: &Cluster, group: &str, number: usize) -> PathBuf {
    cluster.file(&format!("vms/{group}-{number}.qcow2"))
}

/// Runs the command that was built beside this program.
async fn run(words: &[&str], socket: &Path) -> Result<()> {
    let program = std::env::current_exe()?.with_file_name("bootstash");
    let mut command = Command::new(&program);
    command.args(words).env("BOOTSTASH_AGENT_SOCKET", socket).stdout(Stdio::null()).kill_on_drop(true);
    let status = command.status().await.with_context(|| format!("running {}", program.display()))?;
    ensure!(status.success(), "bootstash {}: {status}", words.join(" "));
    Ok(())
}
