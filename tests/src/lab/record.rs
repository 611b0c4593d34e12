//! What there is of every lab on this machine, on disk: written before it is made, so that a lab
//! can be taken down by anybody, also when whoever built it died in the middle.
//!
//! All of a lab hangs on its directory and on its hosts' first processes. A first process that was
//! not recorded yet ends by itself when its builder does (see [`super::init`]).

use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::run::Call;
use super::wait;

/// Where labs lie: on a disk, as pools can grow, and the same for every checkout.
const LABS: &str = "/var/tmp/bootstash-lab";
/// Directories of the machine that were made to mount on, one a line.
const MADE: &str = "made";
const RECORD: &str = "lab.json";

/// A process, told apart from a later one of the same number by its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    pid: i32,
    /// In clock ticks since the machine's start.
    started: u64,
}

/// A host of a lab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRecord {
    /// Its host name.
    pub name: String,
    /// Its address in the lab's network; none for the switch.
    pub address: Option<String>,
    /// Its pool; none for the switch.
    pub pool: Option<String>,
    /// Its first process; none before it was started.
    pub init: Option<ProcessId>,
}

/// A lab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabRecord {
    /// Its name among the labs of this machine.
    pub id: String,
    /// Who builds and owns it.
    pub builder: ProcessId,
    /// Whether it outlives its builder.
    pub stays: bool,
    /// Its hosts, the switch among them.
    pub hosts: Vec<HostRecord>,
}

impl ProcessId {
    /// The process of this number, if there is one.
    pub fn of(pid: Pid) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses can hold anything; field 3 follows the last ")", field 22 is the start.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let zombie = fields.next()? == "Z";
        let started = fields.nth(18)?.parse().ok()?;
        (!zombie).then_some(Self { pid: pid.as_raw(), started })
    }

    /// This very process.
    pub fn own() -> Result<Self> {
        Self::of(Pid::this()).context("cannot read /proc/self/stat")
    }

    /// The process ID.
    pub fn pid(self) -> Pid {
        Pid::from_raw(self.pid)
    }

    /// Whether it still runs.
    pub fn runs(self) -> bool {
        Self::of(self.pid()) == Some(self)
    }

    fn kill(self) {
        if self.runs() {
            let _ = kill(self.pid(), Signal::SIGKILL);
        }
    }

    fn end(self) -> Result<()> {
        self.kill();
        wait::until("the processes of a host to end", Duration::from_secs(30), || {
            Ok((!self.runs()).then_some(()))
        })
    }
}

impl LabRecord {
    /// Makes the directory of a new lab and its first record.
    ///
    /// # Errors
    /// When there is a lab of this name.
    pub fn create(id: &str, stays: bool, hosts: Vec<HostRecord>) -> Result<Self> {
        let _lock = lock()?;
        fs::create_dir_all(LABS)?;
        let record = Self { id: id.to_owned(), builder: ProcessId::own()?, stays, hosts };
        if let Err(error) = fs::create_dir(record.dir()) {
            bail!("cannot make {}: {error}; `lab down` removes what is left of labs", record.dir().display());
        }
        record.save()?;
        Ok(record)
    }

    /// Where everything of it lies.
    pub fn dir(&self) -> PathBuf {
        Path::new(LABS).join(&self.id)
    }

    /// Writes it down.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn save(&self) -> Result<()> {
        let new = self.dir().join("lab.json.new");
        fs::write(&new, serde_json::to_vec_pretty(self)?)?;
        Ok(fs::rename(new, self.dir().join(RECORD))?)
    }

    /// The labs of this machine. One whose record is missing was just begun, or was half removed.
    ///
    /// # Errors
    /// When the directory of labs cannot be read.
    pub fn all() -> Result<Vec<Self>> {
        let Ok(entries) = fs::read_dir(LABS) else { return Ok(Vec::new()) };
        let mut labs = Vec::new();
        for entry in entries {
            let bytes = fs::read(entry?.path().join(RECORD));
            labs.extend(bytes.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()));
        }
        Ok(labs)
    }

    /// Whether all its hosts run.
    pub fn runs(&self) -> bool {
        self.hosts.iter().all(|host| host.init.is_some_and(ProcessId::runs))
    }

    /// Whether its builder runs and will take it down.
    pub fn is_in_use(&self) -> bool {
        self.builder.runs() && !self.stays
    }

    /// Whether nobody will take it down any more.
    pub fn is_abandoned(&self) -> bool {
        !(self.builder.runs() || self.stays && self.runs())
    }

    /// Kills all that runs in its hosts, without waiting.
    pub fn kill_hosts(&self) {
        self.hosts.iter().filter_map(|host| host.init).for_each(ProcessId::kill);
    }

    /// Removes every trace of it.
    ///
    /// # Errors
    /// When something of it does not go.
    pub fn remove(&self) -> Result<()> {
        for host in &self.hosts {
            if let Some(init) = host.init {
                init.end().with_context(|| format!("taking down {}", host.name))?;
            }
            destroy_kernel_pool(host)?;
        }
        let _lock = lock()?;
        if self.dir().exists() {
            fs::remove_dir_all(self.dir()).with_context(|| format!("removing {}", self.dir().display()))?;
        }
        remove_made()
    }
}

/// A zfs-fuse pool ends with its host; a pool of the kernel belongs to the machine.
fn destroy_kernel_pool(host: &HostRecord) -> Result<()> {
    let Some(pool) = host.pool.as_deref().filter(|_| Path::new("/dev/zfs").exists()) else { return Ok(()) };
    if Call::new("zpool").args(["list", "-H", "-o", "name", pool]).finish()?.code() == 0 {
        Call::new("zpool").args(["destroy", "-f", pool]).output()?;
    }
    Ok(())
}

/// Makes the directories of the machine that hosts mount on, and notes which were not there.
///
/// # Errors
/// When one cannot be made.
pub fn make_mount_points(paths: &[&str]) -> Result<()> {
    let _lock = lock()?;
    fs::create_dir_all(LABS)?;
    let list = Path::new(LABS).join(MADE);
    let mut made = fs::read_to_string(&list).unwrap_or_default();
    for path in paths.iter().filter(|path| !Path::new(path).exists()) {
        made.push_str(&format!("{path}\n"));
        fs::write(&list, &made)?;
        fs::create_dir_all(path).with_context(|| format!("making {path}"))?;
    }
    Ok(())
}

/// With the last lab gone, takes away what was made for labs. Whoever calls it holds the lock.
fn remove_made() -> Result<()> {
    if !Path::new(LABS).exists() {
        return Ok(());
    }
    let dirs =
        fs::read_dir(LABS)?.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| path.is_dir());
    // Without a record it is what a killed removal left.
    let (labs, remains): (Vec<_>, Vec<_>) = dirs.partition(|dir| dir.join(RECORD).exists());
    remains.iter().try_for_each(fs::remove_dir_all)?;
    if !labs.is_empty() {
        return Ok(());
    }
    let made = fs::read_to_string(Path::new(LABS).join(MADE)).unwrap_or_default();
    for path in made.lines().rev() {
        // One that is in use by now, or gone, is no longer ours to remove.
        let _ = fs::remove_dir(path);
    }
    Ok(fs::remove_dir_all(LABS)?)
}

/// Takes down labs that nobody owns any more.
///
/// # Errors
/// When one of them does not go.
pub fn remove_abandoned() -> Result<()> {
    LabRecord::all()?.iter().filter(|lab| lab.is_abandoned()).try_for_each(LabRecord::remove)
}

/// Held while labs are begun or removed.
fn lock() -> Result<Flock<File>> {
    // The directory above: a file to lock would be a trace.
    let above = File::open(Path::new(LABS).parent().unwrap_or(Path::new("/")))?;
    Flock::lock(above, FlockArg::LockExclusive)
        .map_err(|(_, errno)| anyhow::anyhow!("locking {LABS}: {errno}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_not_mistaken_for_another_of_its_number() {
        let own = ProcessId::own().unwrap();
        assert!(own.runs());
        assert!(!ProcessId { started: own.started + 1, ..own }.runs());
    }
}
