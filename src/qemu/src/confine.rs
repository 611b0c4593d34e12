//! What keeps a process that meets something hostile to itself.
//!
//! Promises: it has no more memory, processor time, file size and tasks than its limits say, no core dumps,
//! no new privileges and nothing of our environment; it ends with its handle and with us, also when we are
//! killed. One with a [`Place`] works in it, as its user, without capabilities and without a network.

use super::find::Programs;
use super::place::Place;
use super::user::DynamicUser;
use nix::unistd::Gid;
use std::ffi::OsString;
use std::time::Duration;
use tokio::process::Command;

const OPEN_FILES: u32 = 512;
/// A tenth of the processor time of one that is not in the background.
const NICENESS: &str = "10";

/// What a process may use; what is not given is not limited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Address space, in bytes.
    pub(super) memory_bytes: u64,
    /// Processor time of all its threads together.
    pub(super) cpu: Option<Duration>,
    /// The size of any file it writes to.
    pub(super) file_bytes: Option<u64>,
    /// Threads; counts only for one with a user of its own.
    pub(super) tasks: u32,
}

/// A process to be confined.
#[derive(Debug)]
pub(super) struct Confined<'a> {
    pub(super) programs: &'a Programs,
    pub(super) bounds: Bounds,
    pub(super) place: Option<&'a Place>,
    /// A group whose devices it needs.
    pub(super) group: Option<Gid>,
    /// Whether others on this host come first: what serves nodes does not wait for a capture.
    pub(super) background: bool,
}

impl Confined<'_> {
    /// A command that runs the program given as its next argument. All before it replaces itself, so that
    /// the child is the program.
    pub(super) fn command(&self) -> Command {
        let user = self.place.and_then(Place::user);
        let mut command = match user {
            Some(user) => self.as_user(user),
            None => Command::new(&self.programs.setpriv),
        };
        command.args(["--no-new-privs", "--pdeathsig", "KILL", "--"]);
        if self.background {
            command.arg(&self.programs.nice).args(["-n", NICENESS, "--"]);
        }
        command.arg(&self.programs.prlimit);
        command.args(self.limits(user.is_some())).arg("--");
        if let Some(place) = self.place {
            command.current_dir(place.path());
        }
        command
            .env_clear()
            .env("LC_ALL", "C")
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .kill_on_drop(true);
        command
    }

    fn as_user(&self, user: &DynamicUser) -> Command {
        let mut command = Command::new(&self.programs.unshare);
        command.args(["--net", "--"]).arg(&self.programs.setpriv);
        command.arg(format!("--reuid={}", user.uid())).arg(format!("--regid={}", user.gid()));
        command.arg(match self.group {
            Some(group) => format!("--groups={group}"),
            None => "--clear-groups".to_owned(),
        });
        command.args(["--bounding-set=-all", "--inh-caps=-all"]);
        command
    }

    fn limits(&self, has_user: bool) -> Vec<OsString> {
        let Bounds { memory_bytes, cpu, file_bytes, tasks } = self.bounds;
        let mut limits = vec![format!("--as={memory_bytes}"), "--core=0".to_owned()];
        limits.extend(cpu.map(|cpu| format!("--cpu={}", cpu.as_secs())));
        limits.extend(file_bytes.map(|bytes| format!("--fsize={bytes}")));
        if has_user {
            limits.extend([format!("--nproc={tasks}"), format!("--nofile={OPEN_FILES}")]);
        }
        limits.into_iter().map(OsString::from).collect()
    }
}
