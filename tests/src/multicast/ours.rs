//! bootstash: a registrar publishes a delta, its nodes have it by multicast, or each by itself.

use super::bench_lab::{BenchLab, MEMORY};
use super::meter::{Meter, Reading};
use super::{GROUP, GROUP_PORT, RATE_BYTES_PER_SECOND, Tool, deadline};
use crate::lab::registration::register;
use crate::lab::run::Process;
use crate::lab::{Host, Program, wait};
use crate::load::null_zfs::{Arrival, swallow};
use anyhow::{Context, Result, bail, ensure};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ChildStdin;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// Where the registrar keeps deltas.
const DELTAS: &str = "registrar/deltas";
const SOURCE: &str = "source";
const POLL: Duration = Duration::from_millis(2);
const STOP: Duration = Duration::from_secs(60);
const QUIET: Duration = Duration::from_secs(2);
/// Less than the heartbeats of that time, headers included.
const QUIET_BYTES: u64 = 200;
const SHOWN_LINES: usize = 20;
/// The snapshot that all nodes have before, and the one that is measured.
const FIRST: u64 = 1;
const MEASURED: u64 = 2;

/// A registrar and its nodes, in step.
struct Fleet<'a> {
    bench: &'a BenchLab,
    nodes: Vec<Node>,
    arrivals: Receiver<(usize, Arrival)>,
}

struct Node {
    process: Process,
    _keyboard: ChildStdin,
}

pub(super) fn measure(bench: &BenchLab, tool: Tool, bytes: u64, loss_percent: f64) -> Result<(u64, Reading)> {
    configure(bench, tool)?;
    let measured = measure_fleet(bench, bytes, loss_percent);
    if measured.is_err() {
        // The next run must find the place empty.
        bench.lab.storage().kill(Program::Registrar);
    }
    measured
}

fn measure_fleet(bench: &BenchLab, bytes: u64, loss_percent: f64) -> Result<(u64, Reading)> {
    let mut fleet = Fleet::start(bench, bytes)?;
    bench.set_packet_loss(loss_percent)?;
    let (file, mut meter) = fleet.publish(bytes)?;
    let digests = fleet.wait_for_all(MEASURED, deadline(bytes), |node| meter.arrived(node))?;
    let reading = meter.end(fleet.registrar()?)?;
    fleet.stop()?;
    let wanted = stream_digest(&file)?;
    ensure!(digests.iter().all(|digest| *digest == wanted), "not all nodes have the same: {digests:?}");
    Ok((file.metadata()?.len(), reading))
}

/// Everybody may send as much: who serves copies, all of them together.
fn configure(bench: &BenchLab, tool: Tool) -> Result<()> {
    let lines = match tool {
        Tool::Bootstash => format!(
            "[multicast]\ngroup = \"{GROUP}:{GROUP_PORT}\"\ninterface = \"eth0\"\n\
             rate_bytes_per_second = {RATE_BYTES_PER_SECOND}\n"
        ),
        _ => format!("[serving]\nrate_bytes_per_second = {RATE_BYTES_PER_SECOND}\n"),
    };
    bench.plan.clone().registrar(&lines)?.write_configurations(&bench.lab)
}

impl<'a> Fleet<'a> {
    fn start(bench: &'a BenchLab, bytes: u64) -> Result<Self> {
        start_registrar(bench.lab.storage(), bytes)?;
        let (arrived, arrivals) = channel();
        let mut nodes = Vec::new();
        for (number, node) in bench.lab.nodes().iter().enumerate() {
            bench.lab.join(node)?;
            nodes.push(start_node(node, number, arrived.clone())?);
        }
        drop(arrived);
        let fleet = Self { bench, nodes, arrivals };
        fleet.wait_for_all(FIRST, deadline(0), |_| Ok(()))?;
        // As their reports say: only then does everybody wait for news.
        bench.lab.wait_in_step()?;
        wait_for_quiet(bench.lab.storage())?;
        Ok(fleet)
    }

    fn registrar(&self) -> Result<Pid> {
        self.bench.lab.storage().pid(Program::Registrar).context("the registrar ended")
    }

    /// Registers the image whose delta is measured: from the moment when its file is whole, which is when
    /// it is announced. Gives that file.
    fn publish(&self, bytes: u64) -> Result<(PathBuf, Meter<'a>)> {
        let storage = self.bench.lab.storage();
        let source = Path::new(MEMORY).join(SOURCE);
        storage.command("bootstash", ["register", "measured", "--detach"]).args([source]).output()?;
        let nodes: Vec<_> = self.nodes.iter().map(|node| node.process.pid()).collect();
        let until = Instant::now() + deadline(bytes);
        loop {
            if let Some(file) = difference(&storage.outside(MEMORY).join(DELTAS))? {
                return Ok((file, Meter::begin(storage, Some(self.registrar()?), &nodes)?));
            }
            ensure!(Instant::now() < until, "no delta was made: {}", log_of(storage, Program::Registrar));
            std::thread::sleep(POLL);
        }
    }

    /// Waits until every node has received the stream that leads to this snapshot. Gives what each has.
    fn wait_for_all(
        &self,
        snapshot: u64,
        deadline: Duration,
        mut arrived: impl FnMut(usize) -> Result<()>,
    ) -> Result<Vec<String>> {
        let (until, mut digests) = (Instant::now() + deadline, Vec::new());
        while digests.len() < self.nodes.len() {
            match self.arrivals.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok((node, arrival)) if arrival.snapshot == snapshot => {
                    arrived(node)?;
                    digests.push(arrival.digest);
                }
                Ok((node, arrival)) => bail!("node {node} received {arrival:?}"),
                Err(RecvTimeoutError::Timeout) => {
                    bail!("{} nodes have it after {deadline:?}{}", digests.len(), self.logs())
                }
                Err(RecvTimeoutError::Disconnected) => bail!("the agents ended{}", self.logs()),
            }
        }
        Ok(digests)
    }

    fn stop(&mut self) -> Result<()> {
        for node in &mut self.nodes {
            let status = node.process.terminate(STOP)?;
            ensure!(status.success(), "an agent ended with {status}");
        }
        self.bench.lab.storage().stop(Program::Registrar)
    }

    fn logs(&self) -> String {
        let lab = &self.bench.lab;
        let nodes = lab.nodes().iter().map(|node| log_of(node, Program::Agent));
        nodes.chain([log_of(lab.storage(), Program::Registrar)]).collect()
    }
}

fn start_registrar(storage: &Host, delta_bytes: u64) -> Result<()> {
    let source = Path::new(MEMORY).join(SOURCE);
    std::fs::write(storage.outside(&source), [1; 4096])?;
    let call = storage.confined(Program::Registrar, &std::env::current_exe()?);
    let call = call.args(["registrar".as_ref(), storage.config_path(Program::Registrar).as_path()]);
    storage.start_as(Program::Registrar, &call.args([delta_bytes.to_string()]))?;
    register(storage, "first", &source, |_| ()).map(drop)
}

/// Until no transmission of the first snapshot is left, which heartbeats at least twice a second to its end, and has
/// its share of the rate.
fn wait_for_quiet(storage: &Host) -> Result<()> {
    wait::until("the wire to be quiet", STOP, || {
        let before = storage.traffic()?.sent_bytes;
        std::thread::sleep(QUIET);
        Ok((storage.traffic()?.sent_bytes - before < QUIET_BYTES).then_some(()))
    })
}

fn start_node(node: &Host, number: usize, arrived: Sender<(usize, Arrival)>) -> Result<Node> {
    let call = node.confined(Program::Agent, &std::env::current_exe()?);
    let call = call.args(["node".as_ref(), node.config_path(Program::Agent).as_path()]);
    let (process, _keyboard, stdout) = call.start_piped(&node.log(Program::Agent))?;
    // Ends with the agent.
    std::thread::spawn(move || {
        let lines = BufReader::new(stdout).lines().map_while(Result::ok);
        let arrivals = lines.filter_map(|line| serde_json::from_str(&line).ok());
        arrivals.map_while(|arrival| arrived.send((number, arrival)).ok()).for_each(drop);
    });
    Ok(Node { process, _keyboard })
}

/// The delta that leads on from another snapshot, once there is one: a file under its own name is whole.
fn difference(dir: &Path) -> Result<Option<PathBuf>> {
    let mut files = std::fs::read_dir(dir)?.filter_map(Result::ok);
    let found = files.find(|file| {
        let name = file.file_name();
        let name = name.to_string_lossy();
        name.ends_with(bootstash_delta::EXTENSION) && !name.starts_with('.') && !name.starts_with("full-")
    });
    Ok(found.map(|file| file.path()))
}

/// The BLAKE3 of the stream that a delta's file carries.
fn stream_digest(file: &Path) -> Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (_, stream) = bootstash_delta::open(file).await?;
        Ok(swallow(&[], stream).await?)
    })
}

/// The end of a log.
fn log_of(host: &Host, program: Program) -> String {
    let text = std::fs::read_to_string(host.log(program)).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    format!("\n{}:\n{}", host.name(), lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n"))
}
