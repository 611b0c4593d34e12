//! The registrar, the agents and the ZFS daemon as processes of their hosts.

use super::host::Host;
use super::programs;
use super::run::{Call, Process};
use super::unit_capabilities;
use super::wait;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::time::Duration;

const START_DEADLINE: Duration = Duration::from_secs(60);
const STOP_DEADLINE: Duration = Duration::from_secs(60);

/// A daemon of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Program {
    /// `bootstash-registrar`
    Registrar,
    /// `bootstash-agent`
    Agent,
    /// `zfs-fuse`
    ZfsFuse,
}

impl Program {
    /// The name of its executable.
    pub fn name(self) -> &'static str {
        match self {
            Self::Registrar => "bootstash-registrar",
            Self::Agent => "bootstash-agent",
            Self::ZfsFuse => "zfs-fuse",
        }
    }
}

/// A daemon that was started.
#[derive(Debug)]
pub(super) struct Daemon {
    process: Process,
    log: PathBuf,
}

impl Host {
    /// Where a daemon's log lies.
    pub fn log(&self, program: Program) -> PathBuf {
        self.dir.join(format!("{}.log", program.name()))
    }

    /// The command line of one of our daemons on this host.
    pub fn daemon_call(&self, program: Program) -> Call {
        let config = self.config_path(program);
        self.confined(program, &programs::path(program.name()))
            .args(["--config".as_ref(), config.as_path()])
            .env("BOOTSTASH_ZFS", "/usr/sbin/zfs")
            .env("BOOTSTASH_ZPOOL", "/usr/sbin/zpool")
    }

    /// A command line of `executable` with what one of our daemons may do, and no more.
    pub(crate) fn confined(&self, program: Program, executable: &Path) -> Call {
        self.command("setpriv", unit_capabilities::options(program)).args([executable])
    }

    /// Starts one of our daemons, and waits until its command answers.
    ///
    /// # Errors
    /// When it ends, or does not answer in time.
    pub fn start(&self, program: Program) -> Result<()> {
        self.start_as(program, &self.daemon_call(program))
    }

    /// The same, by another command line or with another environment.
    ///
    /// # Errors
    /// When it ends, or does not answer in time.
    pub fn start_as(&self, program: Program, call: &Call) -> Result<()> {
        if program == Program::Registrar {
            self.daemon_call(program).args(["init"]).output()?;
        }
        self.spawn(program, call)?;
        wait::until(&format!("{} on {} to answer", program.name(), self.name()), START_DEADLINE, || {
            if !self.is_running(program) {
                let log = std::fs::read_to_string(self.log(program)).unwrap_or_default();
                return Ok(Some(Err(anyhow::anyhow!("{} ended at its start: {log}", program.name()))));
            }
            let answer = self.bootstash(["status", "--json"])?;
            answer.success().map(|_| Some(Ok(())))
        })?
    }

    pub(super) fn spawn(&self, program: Program, call: &Call) -> Result<()> {
        let log = self.log(program);
        let mut daemons = self.daemons.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if daemons.get_mut(&program).is_some_and(|daemon| daemon.process.is_running()) {
            bail!("{} runs on {} already", program.name(), self.name());
        }
        daemons.insert(program, Daemon { process: call.start(&log)?, log });
        Ok(())
    }

    /// Whether a daemon that was started still runs.
    pub fn is_running(&self, program: Program) -> bool {
        self.with(program, |daemon| daemon.process.is_running()).unwrap_or(false)
    }

    /// The number of a daemon's process.
    pub fn pid(&self, program: Program) -> Option<nix::unistd::Pid> {
        self.with(program, |daemon| daemon.process.pid())
    }

    /// Stops a daemon as systemd does; it must end by itself, and well.
    ///
    /// # Errors
    /// When it does not run, does not end, or ends badly.
    pub fn stop(&self, program: Program) -> Result<()> {
        let status = self.with(program, |daemon| daemon.process.terminate(STOP_DEADLINE));
        let status =
            status.with_context(|| format!("{} does not run on {}", program.name(), self.name()))??;
        if !status.success() {
            bail!("{} on {} ended with {status} when it was asked to stop", program.name(), self.name());
        }
        Ok(())
    }

    /// Kills a daemon with SIGKILL.
    pub fn kill(&self, program: Program) {
        self.with(program, |daemon| daemon.process.kill());
    }

    /// Kills all that was started with [`Host::start`], and its ZFS last.
    pub(super) fn kill_all(&self) {
        [Program::Registrar, Program::Agent, Program::ZfsFuse]
            .into_iter()
            .for_each(|program| self.kill(program));
    }

    /// The logs of the daemons that were started.
    pub fn logs(&self) -> Vec<PathBuf> {
        let daemons = self.daemons.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        daemons.values().map(|daemon| daemon.log.clone()).collect()
    }

    /// Lets the daemons outlive this value.
    pub(super) fn let_daemons_stay(&self) {
        let mut daemons = self.daemons.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        std::mem::take(&mut *daemons).into_values().for_each(|daemon| daemon.process.stay());
    }

    fn with<T>(&self, program: Program, act: impl FnOnce(&mut Daemon) -> T) -> Option<T> {
        let mut daemons = self.daemons.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        daemons.get_mut(&program).map(act)
    }

    /// Where the configuration of one of our daemons lies, on this host.
    pub fn config_path(&self, program: Program) -> PathBuf {
        let file = if program == Program::Registrar { "registrar.toml" } else { "agent.toml" };
        Path::new("/etc/bootstash").join(file)
    }
}
