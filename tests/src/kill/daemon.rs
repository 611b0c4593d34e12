//! A daemon as a process that can be told where to die.

use crate::lab::programs;
use crate::lab::run::{Call, Process};
use anyhow::{Context, Result, ensure};
use bootstash_base::kill_point::{KILL_AT_VARIABLE, KillPoint, REACHED};
use bootstash_net::api::{Client, Endpoint};
use nix::sys::signal::Signal;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// From the act to the death, under load.
const DEATH: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(5);

/// A daemon, running or not.
#[derive(Debug)]
pub(super) struct Daemon {
    call: Call,
    /// Where its log goes.
    pub(super) log: PathBuf,
    socket: PathBuf,
    kill_at: PathBuf,
    process: Option<Process>,
}

impl Daemon {
    /// Of this program and configuration, with its files in `dir`; `tools` are the wrappers it is to use.
    pub(super) fn new(
        program: &str,
        config: &str,
        socket: PathBuf,
        dir: &Path,
        tools: &Path,
    ) -> Result<Self> {
        let file = dir.join(format!("{program}.toml"));
        std::fs::write(&file, config)?;
        let kill_at = dir.join(format!("{program}.kill-at"));
        let path = std::env::var("PATH").unwrap_or_default();
        let call = Call::new(programs::path(program))
            .args(["--config".as_ref(), file.as_path()])
            .env(KILL_AT_VARIABLE, &kill_at)
            .env("PATH", format!("{}:{path}", tools.display()))
            .env("BOOTSTASH_ZFS", tools.join("zfs"))
            .env("BOOTSTASH_ZPOOL", "/usr/sbin/zpool");
        Ok(Self { call, log: dir.join(format!("{program}.log")), socket, kill_at, process: None })
    }

    /// Starts it; it need not answer yet.
    pub(super) fn spawn(&mut self) -> Result<()> {
        self.process = Some(self.call.start(&self.log)?);
        Ok(())
    }

    /// Whether its process runs.
    pub(super) fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::is_running)
    }

    /// As systemd does; it must end well.
    pub(super) fn stop(&mut self) -> Result<()> {
        let mut process = self.process.take().context("it does not run")?;
        let status = process.terminate(STOP)?;
        ensure!(status.success(), "told to stop, it ended with {status}");
        Ok(())
    }

    /// Has it die once it comes to `point`.
    pub(super) fn arm(&self, point: KillPoint) -> Result<()> {
        let _ = std::fs::remove_file(self.reached());
        Ok(std::fs::write(&self.kill_at, point.name())?)
    }

    /// Waits for its death, which must be there, and not another.
    pub(super) async fn dies(&mut self) -> Result<()> {
        let deadline = Instant::now() + DEATH;
        while self.is_running() {
            ensure!(Instant::now() < deadline, "it does not come to where it was to die");
            sleep(POLL).await;
        }
        let status = self.process.take().context("it does not run")?.wait(STOP)?;
        let signal = status.and_then(|status| status.signal());
        ensure!(signal == Some(Signal::SIGKILL as i32), "it ended with {status:?}");
        let point = std::fs::read_to_string(self.reached()).context("it died elsewhere")?;
        ensure!(!point.is_empty() && !self.kill_at.exists());
        Ok(())
    }

    fn reached(&self) -> PathBuf {
        self.kill_at.with_extension(REACHED)
    }

    /// A client on its Unix socket.
    pub(super) fn client(&self) -> Result<Client> {
        Ok(Client::new(Endpoint::Unix(self.socket.clone()))?)
    }
}
