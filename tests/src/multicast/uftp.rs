//! uftp as Debian has it, and as it comes: without encryption.

use super::bench_lab::{BenchLab, MEMORY, digest};
use super::meter::{Meter, Reading};
use super::{GROUP, GROUP_PORT, NODES, RATE_BYTES_PER_SECOND, deadline};
use crate::lab::record::ProcessId;
use crate::lab::run::Process;
use crate::lab::{Host, network};
use anyhow::{Context, Result, bail, ensure};
use std::fs::File;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const NAME: &str = "object";
/// Asked of the kernel for the sockets of both ends: the usual 256 KB overflow.
const BUFFER_BYTES: &str = "4194304";
const POLL: Duration = Duration::from_millis(5);
/// Its daemon does not say when it listens.
const START: Duration = Duration::from_secs(1);
const CLOSING: Duration = Duration::from_secs(60);

pub(super) fn measure(bench: &BenchLab, bytes: u64, loss_percent: f64) -> Result<(u64, Reading)> {
    let (storage, nodes) = (bench.lab.storage(), bench.lab.nodes());
    let object = storage.outside(MEMORY).join(NAME);
    write_noise(&object, bytes)?;
    let daemons = nodes.iter().enumerate().map(|(number, node)| receiver(node, number));
    let daemons: Vec<Process> = daemons.collect::<Result<_>>()?;
    std::thread::sleep(START);
    bench.set_packet_loss(loss_percent)?;
    let pids: Vec<_> = daemons.iter().map(Process::pid).collect();
    let mut meter = Meter::begin(storage, None, &pids)?;
    let mut sender = sender(storage)?;
    wait_for_all(nodes, &sender, &mut meter, deadline(bytes)).with_context(|| log_of(storage))?;
    let reading = meter.end(sender.pid())?;
    let status = sender.wait(CLOSING)?.context("uftp does not end")?;
    ensure!(status.success(), "uftp ended with {status}: {}", log_of(storage));
    let wanted = digest(&object)?;
    for node in nodes {
        ensure!(digest(&received(node))? == wanted, "{} has something else", node.name());
    }
    Ok((bytes, reading))
}

/// With `-q`, a client that times out ends it; with `-s`, not one that had no processor for half a second.
fn sender(storage: &Host) -> Result<Process> {
    let nodes: Vec<_> = (0..NODES).map(identity).collect::<Result<_>>()?;
    let kilobits_per_second = (RATE_BYTES_PER_SECOND * 8 / 1000).to_string();
    let port = GROUP_PORT.to_string();
    storage
        .command("uftp", ["-R", &kilobits_per_second, "-I", "eth0", "-M", GROUP, "-P", GROUP, "-p", &port])
        .args(["-B", BUFFER_BYTES, "-q", "-s", "50", "-H", &nodes.join(",")])
        .args([format!("{MEMORY}/{NAME}")])
        .start(&log(storage))
}

/// With `-t`, a file that is not whole has another name.
fn receiver(node: &Host, number: usize) -> Result<Process> {
    let port = GROUP_PORT.to_string();
    node.command("uftpd", ["-d", "-q", "-t", "-I", "eth0", "-M", GROUP, "-p", &port, "-D", MEMORY])
        .args(["-B", BUFFER_BYTES, "-U", &identity(number)?])
        .start(&log(node))
}

/// Its name among clients, which is its address.
fn identity(number: usize) -> Result<String> {
    let address: Ipv4Addr = network::node_address(number + 1).parse()?;
    Ok(format!("0x{:08X}", address.to_bits()))
}

fn received(node: &Host) -> PathBuf {
    node.outside(MEMORY).join(NAME)
}

fn wait_for_all(nodes: &[Host], sender: &Process, meter: &mut Meter<'_>, deadline: Duration) -> Result<()> {
    let until = Instant::now() + deadline;
    let mut missing: Vec<usize> = (0..nodes.len()).collect();
    while !missing.is_empty() {
        if Instant::now() > until {
            bail!("{} nodes did not get it within {deadline:?}", missing.len());
        }
        std::thread::sleep(POLL);
        // Asked first: what is missing after its end is missing for good. It stays for the meter to read.
        let ended = ProcessId::of(sender.pid()).is_none();
        let (there, rest): (Vec<_>, _) =
            missing.into_iter().partition(|node| received(&nodes[*node]).exists());
        there.into_iter().try_for_each(|node| meter.arrived(node))?;
        missing = rest;
        ensure!(!ended || missing.is_empty(), "uftp ended, and {} nodes have nothing", missing.len());
    }
    Ok(())
}

fn log(host: &Host) -> PathBuf {
    host.dir().join("uftp.log")
}

fn log_of(host: &Host) -> String {
    std::fs::read_to_string(log(host)).unwrap_or_default()
}

/// Bytes that nothing makes smaller.
fn write_noise(file: &Path, bytes: u64) -> Result<()> {
    let (mut noise, mut file) = (blake3::Hasher::new().finalize_xof(), File::create(file)?);
    let (mut left, mut buffer) = (bytes, vec![0; 1 << 20]);
    while left > 0 {
        let part = buffer.len().min(usize::try_from(left)?);
        noise.fill(&mut buffer[..part]);
        file.write_all(&buffer[..part])?;
        left -= part as u64;
    }
    Ok(())
}
