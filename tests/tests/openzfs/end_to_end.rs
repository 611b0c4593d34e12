//! The main path between kernels, end to end: one guest is the storage node, two are compute nodes, joined by cables
//! of their own. A cache that exists is registered, and every node hands out overlays of it.

use crate::{boot, options};
use anyhow::{Context, Result, ensure};
use bootstash_disk::ImageFormat;
use bootstash_disk::qcow2;
use bootstash_disk::qcow2::{ClusterRuns, Layout};
use bootstash_net::api::InviteReply;
use bootstash_tests::guest::TinyGuest;
use bootstash_tests::lab::programs;
use bootstash_tests::openzfs::{Cable, Guest};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Under emulation, on cores that do other things too.
const LIMIT: Duration = Duration::from_secs(180);
const CLUSTERS: u64 = 32;
const CLUSTER_BYTES: u64 = 64 << 10;

/// Three kernels and what joins them.
struct Cluster {
    storage: Guest,
    nodes: Vec<Guest>,
}

#[test]
fn a_cache_goes_from_one_kernel_to_two_others() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let base = base(dir.path())?;
    let cache = cache(dir.path(), &base)?;
    let cluster = Cluster::start(dir.path())?;
    cluster.start_daemons()?;
    let registered = cluster.storage.shell(
        &format!("{} register tiny {} --cache {}", ours("bootstash"), base.display(), cache.display()),
        LIMIT,
    )?;
    println!("{registered}");
    cluster.in_step(1)?;
    for node in &cluster.nodes {
        overlay_is_right(node, "tiny", &base)?;
    }
    a_second_image_comes_as_a_delta(&cluster, dir.path(), &base)?;
    let compression =
        cluster.storage.shell("zfs get -H -o value compression tank/bootstash/volume", LIMIT)?;
    ensure!(compression.trim() == "zstd", "the volume is compressed by {compression}");
    Ok(())
}

/// A node that is off meanwhile catches up when it is back.
fn a_second_image_comes_as_a_delta(cluster: &Cluster, dir: &Path, base: &Path) -> Result<()> {
    let second = dir.join("second.raw");
    std::fs::copy(base, &second)?;
    let cache = cache(dir, &second)?;
    cluster.nodes[1].shell("kill -9 $(cat /run/agent.pid)", LIMIT)?;
    let register =
        format!("{} register second {} --cache {}", ours("bootstash"), second.display(), cache.display());
    cluster.storage.shell(&register, LIMIT)?;
    start_agent(&cluster.nodes[1])?;
    cluster.in_step(2)?;
    cluster.nodes.iter().try_for_each(|node| overlay_is_right(node, "second", &second))
}

impl Cluster {
    /// Boots all three; the storage node first, as its ends of the cables are plugged in first.
    fn start(dir: &Path) -> Result<Self> {
        let cable = |node: usize| dir.join(format!("cable{node}"));
        let first = |node: usize| (Cable::First(cable(node)), format!("10.99.{node}.1/24"));
        let second = |node: usize| vec![(Cable::Second(cable(node)), format!("10.99.{node}.2/24"))];
        let mut guests = boot(&[
            options(dir, "storage", 1536, vec![first(0), first(1)]),
            options(dir, "node0", 1536, second(0)),
            options(dir, "node1", 1536, second(1)),
        ])?;
        let nodes = guests.split_off(1);
        Ok(Self { storage: guests.remove(0), nodes })
    }

    fn start_daemons(&self) -> Result<()> {
        make_pool(&self.storage)?;
        let config = "dataset = 'tank/bootstash'\nlisten = '0.0.0.0:7430'\n";
        self.storage.shell(&init(config), LIMIT)?;
        start(&self.storage, "bootstash-registrar", "registrar", config)?;
        for (number, node) in self.nodes.iter().enumerate() {
            make_pool(node)?;
            self.join(node, number)?;
            start_agent(node)?;
        }
        Ok(())
    }

    /// Makes a node a member.
    fn join(&self, node: &Guest, number: usize) -> Result<()> {
        let invite = format!("{} node invite node{number} --json", ours("bootstash"));
        let reply: InviteReply = serde_json::from_str(&self.storage.shell(&invite, LIMIT)?)?;
        let (program, token) = (ours("bootstash-agent"), reply.token.reveal());
        let join = format!(
            "printf %s \"{AGENT}\" > /run/join.toml; \
             {program} --config /run/join.toml join https://10.99.{number}.1:7430 {token}"
        );
        node.shell(&join, LIMIT).map(drop)
    }

    /// Waits until all nodes report the snapshot of this number.
    fn in_step(&self, snapshot: u32) -> Result<()> {
        let wait = format!(
            "for try in $(seq 600); do \
               [ \"$({} nodes --json | grep -c '\"snapshot\": \"bs-{snapshot:06}-')\" = 2 ] && exit 0; sleep 0.2; \
             done; {} nodes; exit 1",
            ours("bootstash"),
            ours("bootstash")
        );
        self.storage.shell(&wait, LIMIT).map(drop).with_context(|| self.logs())
    }

    fn logs(&self) -> String {
        let all = self.nodes.iter().chain([&self.storage]);
        all.map(|guest| guest.shell("tail -n 20 /share/*.log", LIMIT).unwrap_or_default()).collect()
    }
}

fn make_pool(guest: &Guest) -> Result<()> {
    // A partition: without udev, ZFS waits half a minute for those it makes itself.
    let commands = "echo ',,L' | sfdisk -q --label gpt /dev/vda; zpool create -m none tank /dev/vda1";
    guest.shell(commands, LIMIT).map(drop)
}

const AGENT: &str = "dataset = 'tank/bootstash'\n";

fn init(config: &str) -> String {
    format!(
        "printf %s \"{config}\" > /run/init.toml; {} --config /run/init.toml init",
        ours("bootstash-registrar")
    )
}

fn start_agent(guest: &Guest) -> Result<()> {
    start(guest, "bootstash-agent", "agent", AGENT)
}

fn start(guest: &Guest, program: &str, daemon: &str, config: &str) -> Result<()> {
    std::fs::write(guest.share().join("config.toml"), config)?;
    let commands = format!(
        "mkdir -p /run/bootstash; cp /share/config.toml /run/{daemon}.toml; \
         setsid {} --config /run/{daemon}.toml >>/share/{daemon}.log 2>&1 & echo $! >/run/{daemon}.pid; \
         for try in $(seq 300); do {} status >/dev/null 2>&1 && exit 0; sleep 0.2; done; \
         cat /share/{daemon}.log; exit 1",
        ours(program),
        ours("bootstash")
    );
    guest.shell(&commands, LIMIT).map(drop)
}

/// QEMU's own tools, in the guest, find the overlay sound and equal to the base.
fn overlay_is_right(node: &Guest, image: &str, base: &Path) -> Result<()> {
    let commands = format!(
        "mkdir -p /run/vms; {} overlay create {image} /run/vms/{image}.qcow2; cd /run/vms; \
         qemu-img info --backing-chain {image}.qcow2; qemu-img check {image}.qcow2; \
         qemu-img compare -f qcow2 -F raw {image}.qcow2 {}",
        ours("bootstash"),
        base.display()
    );
    let said = node.shell(&commands, LIMIT)?;
    ensure!(said.contains("Images are identical"), "{said}");
    ensure!(said.contains("/views/bs-") && said.contains(&base.display().to_string()), "{said}");
    Ok(())
}

fn base(dir: &Path) -> Result<PathBuf> {
    let path = dir.join("tiny.raw");
    TinyGuest { clusters: u16::try_from(CLUSTERS)?, ..TinyGuest::booting(5) }.write(&path)?;
    Ok(path)
}

/// The cache that a capture of the base would have made: what the guest reads, and the zeros.
fn cache(dir: &Path, base: &Path) -> Result<PathBuf> {
    let path = dir.join(format!("{}.qcow2", base.file_stem().context("a name")?.to_string_lossy()));
    let disk = File::open(base)?;
    let size = disk.metadata()?.len();
    let read: Vec<u64> = std::iter::once(0).chain(16..16 + CLUSTERS).collect();
    let mut zeros = ClusterRuns::default();
    zeros.append(1..16);
    zeros.append(16 + CLUSTERS..size.div_ceil(CLUSTER_BYTES));
    let layout = Layout::new(size, read, zeros, base, ImageFormat::Raw)?;
    qcow2::write(&layout, |buffer, offset| disk.read_exact_at(buffer, offset), &mut File::create(&path)?)?;
    Ok(path)
}

fn ours(program: &str) -> String {
    programs::path(program).display().to_string()
}
