//! A lab: one storage node and N compute nodes on one machine, each with network, mounts, processes,
//! host name and ZFS of its own.
//!
//! Promises: the machine's own network, mounts and daemons are not touched; whatever is made is
//! written down before (see [`record`]), and goes when the [`Lab`] is dropped, when its builder dies,
//! or with `lab down`; a daemon's warning that no test announced is an error.

pub mod daemon;
pub mod flood;
pub mod host;
pub mod init;
pub mod interrupt;
pub mod logs;
pub mod membership;
pub mod namespaces;
pub mod network;
mod network_faults;
pub mod plan;
pub mod programs;
pub mod queries;
pub mod record;
pub mod refusing;
pub mod refusing_fs;
pub mod registration;
pub mod run;
mod unit_capabilities;
pub mod wait;
pub mod warm_boot;
mod zfs;
pub mod zfs_host;

pub use daemon::Program;
pub use host::Host;
pub use plan::LabPlan;

use anyhow::{Context, Result, bail};
use init::{HostPlan, READY, STAY};
use namespaces::Namespaces;
use network::Port;
use nix::unistd::Pid;
use record::{HostRecord, LabRecord, ProcessId};
use run::{Call, Process};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ChildStdin;
use std::sync::Mutex;

/// Name of the storage node.
pub const STORAGE: &str = "storage";
/// Where every host sees the shared images.
pub const IMAGES_DIR: &str = "/srv/images";
const SWITCH: &str = "switch";
/// Directories every host has for itself.
const PRIVATE_DIRS: [&str; 3] = ["/run/bootstash", "/var/lib/bootstash", "/etc/bootstash"];

/// A lab that runs, and ends with this value.
#[derive(Debug)]
pub struct Lab {
    record: LabRecord,
    /// Storage first, then the nodes in order.
    hosts: Vec<Host>,
    /// The first processes and the pipes that keep them: closing a pipe ends its host.
    inits: Vec<(Process, ChildStdin)>,
    expected: Mutex<Vec<String>>,
    stays: bool,
}

impl Lab {
    /// Builds a lab: hosts, network, pools and configurations. No daemon of ours runs yet.
    ///
    /// # Errors
    /// When something cannot be made; nothing of it is left then.
    pub fn build(plan: &LabPlan) -> Result<Self> {
        let lab = Self::without_zfs(plan)?;
        for host in &lab.hosts {
            zfs::make_pool(host, plan.pool_bytes)
                .with_context(|| format!("making the pool of {}", host.name()))?;
        }
        Ok(lab)
    }

    /// The same, with hosts that have no ZFS.
    ///
    /// # Errors
    /// When something cannot be made; nothing of it is left then.
    pub fn without_zfs(plan: &LabPlan) -> Result<Self> {
        programs::check_built()?;
        record::remove_abandoned()?;
        record::make_mount_points(&[&PRIVATE_DIRS[..], &zfs::PRIVATE_DIRS, &[IMAGES_DIR]].concat())?;
        let record = LabRecord::create(&plan.id, plan.stays, host_records(plan))?;
        let mut lab =
            Self { record, hosts: Vec::new(), inits: Vec::new(), expected: Mutex::default(), stays: false };
        lab.start_hosts(plan)?;
        lab.connect()?;
        plan.write_configurations(&lab)?;
        Ok(lab)
    }

    fn start_hosts(&mut self, plan: &LabPlan) -> Result<()> {
        for number in 0..self.record.hosts.len() {
            let name = self.record.hosts[number].name.clone();
            self.start_host(number, plan).with_context(|| format!("starting host {name}"))?;
        }
        Ok(())
    }

    fn start_host(&mut self, number: usize, plan: &LabPlan) -> Result<()> {
        let dir = self.record.dir().join(&self.record.hosts[number].name);
        let host_plan = HostPlan { name: self.record.hosts[number].name.clone(), binds: binds(&dir, plan)? };
        let call = Call::new(programs::path("lab")).args(["init"]).within(Namespaces::New);
        let (process, mut stdin, stdout) = call.start_piped(&dir.join("init.log"))?;
        self.record.hosts[number].init = ProcessId::of(process.pid());
        self.record.save()?;
        writeln!(stdin, "{}", serde_json::to_string(&host_plan)?)?;
        self.inits.push((process, stdin));
        let mut answer = String::new();
        BufReader::new(stdout).read_line(&mut answer)?;
        if answer.trim_end() != READY {
            bail!("{}", fs::read_to_string(dir.join("init.log"))?.trim_end());
        }
        if self.record.hosts[number].address.is_some() {
            self.hosts.push(Host::new(self.record.hosts[number].clone(), dir)?);
        }
        Ok(())
    }

    fn switch(&self) -> Result<Pid> {
        let switch = self.record.hosts.iter().find(|host| host.name == SWITCH).and_then(|host| host.init);
        Ok(switch.context("the lab has no switch")?.pid())
    }

    fn connect(&self) -> Result<()> {
        let port = |host: &Host| Port {
            name: host.name().to_owned(),
            address: host.address().to_owned(),
            init: host.init,
        };
        let ports: Vec<_> = self.hosts.iter().map(port).collect();
        network::connect(self.switch()?, &ports, &self.record.dir())
    }

    /// The storage node.
    pub fn storage(&self) -> &Host {
        &self.hosts[0]
    }

    /// The compute nodes.
    pub fn nodes(&self) -> &[Host] {
        &self.hosts[1..]
    }

    /// A host by name.
    ///
    /// # Panics
    /// When there is none of this name.
    pub fn host(&self, name: &str) -> &Host {
        match self.hosts.iter().find(|host| host.name() == name) {
            Some(host) => host,
            None => panic!("the lab has no host {name}"),
        }
    }

    /// Where everything of it lies.
    pub fn dir(&self) -> PathBuf {
        self.record.dir()
    }

    /// Starts the registrar, then every agent.
    ///
    /// # Errors
    /// When one of them does not start.
    pub fn start_daemons(&self) -> Result<()> {
        self.storage().start(Program::Registrar)?;
        self.nodes().iter().try_for_each(|node| {
            self.join(node)?;
            node.start(Program::Agent)
        })
    }

    /// Announces that warnings with this text are part of the test.
    pub fn expect_log(&self, text: &str) {
        self.expected.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(text.to_owned());
    }

    /// Stops the daemons and takes the lab down.
    ///
    /// # Errors
    /// When a daemon does not stop well, or logged a warning nobody announced.
    pub fn finish(self) -> Result<()> {
        for host in self.hosts.iter().rev() {
            for program in [Program::Agent, Program::Registrar] {
                if host.is_running(program) {
                    host.stop(program)?;
                }
            }
        }
        self.check_logs()
    }

    /// Looks for warnings nobody announced.
    ///
    /// # Errors
    /// Says what they are.
    pub fn check_logs(&self) -> Result<()> {
        let expected = self.expected.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let files = self.hosts.iter().flat_map(Host::logs);
        logs::check(files, &expected)
    }

    /// Lets the lab, with all that runs in it, outlive this process.
    ///
    /// # Errors
    /// When a host is gone already.
    pub fn stay(mut self) -> Result<()> {
        for (process, mut pipe) in self.inits.drain(..) {
            writeln!(pipe, "{STAY}")?;
            process.stay();
        }
        self.hosts.iter().for_each(Host::let_daemons_stay);
        self.stays = true;
        Ok(())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.stays {
            return;
        }
        if std::thread::panicking() {
            self.hosts.iter().flat_map(Host::logs).for_each(|log| logs::show_end(&log));
        }
        // Our processes first: the kernel keeps a first process until all others were reaped, and
        // those are our children.
        self.hosts.iter().for_each(Host::kill_all);
        self.inits.iter_mut().for_each(|(process, _)| process.kill());
        if let Err(error) = self.record.remove() {
            eprintln!("lab {}: {error:#}", self.record.id);
        }
    }
}

fn host_records(plan: &LabPlan) -> Vec<HostRecord> {
    let host = |name: &str, address: String| HostRecord {
        name: name.to_owned(),
        address: Some(address),
        pool: Some(format!("{}-{name}", plan.id)),
        init: None,
    };
    let nodes = (1..=plan.nodes).map(|number| host(&format!("node{number}"), network::node_address(number)));
    let switch = HostRecord { name: SWITCH.to_owned(), address: None, pool: None, init: None };
    [switch, host(STORAGE, network::storage_address())].into_iter().chain(nodes).collect()
}

/// Makes a host's private directories below `dir`, and says where it sees them.
fn binds(dir: &Path, plan: &LabPlan) -> Result<Vec<(PathBuf, PathBuf)>> {
    let mut binds = vec![(plan.images_dir.clone(), PathBuf::from(IMAGES_DIR))];
    for path in PRIVATE_DIRS.iter().chain(&zfs::PRIVATE_DIRS) {
        let own = dir.join("root").join(path.trim_start_matches('/'));
        fs::create_dir_all(&own)?;
        binds.push((own, path.into()));
    }
    Ok(binds)
}
