//! The only place in the lab that starts other programs.
//!
//! A call that is waited for has a deadline and gives bounded text back; a process that is left
//! running is owned by a [`Process`], which ends it when dropped.

use super::namespaces::Namespaces;
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use serde::de::DeserializeOwned;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

const OUTPUT_LIMIT_BYTES: u64 = 4 << 20;
const KILL_DEADLINE: Duration = Duration::from_secs(30);
const DEFAULT_DEADLINE: Duration = Duration::from_secs(60);

/// A program to run, with its arguments and the place to run it in.
#[derive(Clone, Debug)]
pub struct Call {
    words: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    namespaces: Namespaces,
    deadline: Duration,
}

/// How a call ended.
#[derive(Clone, Debug)]
pub struct Finished {
    shown: String,
    status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Call {
    /// Runs `program`, by default in the namespaces of the caller and for at most a minute.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let words = vec![program.as_ref().to_owned()];
        Self { words, env: Vec::new(), namespaces: Namespaces::Here, deadline: DEFAULT_DEADLINE }
    }

    /// Adds arguments.
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.words.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Runs it in these namespaces.
    pub fn within(mut self, namespaces: Namespaces) -> Self {
        self.namespaces = namespaces;
        self
    }

    /// Ends it after this time.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Runs it to its end. An exit status other than success is no error here.
    ///
    /// # Errors
    /// When it cannot be started, or the deadline came first (it is dead then).
    pub fn finish(&self) -> Result<Finished> {
        let (mut stdout, mut stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
        let mut process =
            self.spawn(Stdio::null(), stdout.try_clone()?.into(), stderr.try_clone()?.into())?;
        let Some(status) = process.wait(self.deadline)? else {
            let said = read_back(&mut stderr)?;
            bail!("`{self}` did not end within {:?}; it said: {}", self.deadline, said.trim_end());
        };
        let (stdout, stderr) = (read_back(&mut stdout)?, read_back(&mut stderr)?);
        Ok(Finished { shown: self.to_string(), status, stdout, stderr })
    }

    /// Runs it to its end, which must be a success; gives its standard output.
    ///
    /// # Errors
    /// Like [`Call::finish`], and when it failed.
    pub fn output(&self) -> Result<String> {
        self.finish()?.success()
    }

    /// Leaves it running, with what it says appended to `log`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, log: &Path) -> Result<Process> {
        let file = File::options().create(true).append(true).open(log)?;
        self.spawn(Stdio::null(), file.try_clone()?.into(), file.into())
    }

    /// Leaves it running with a pipe to its standard input, and what it says appended to `log`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn start_typed(&self, log: &Path) -> Result<(Process, ChildStdin)> {
        let file = File::options().create(true).append(true).open(log)?;
        let mut process = self.spawn(Stdio::piped(), file.try_clone()?.into(), file.into())?;
        let keyboard = process.child.stdin.take().context("the process has no pipe")?;
        Ok((process, keyboard))
    }

    /// Leaves it running with pipes to its standard input and from its standard output.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start_piped(&self, log: &Path) -> Result<(Process, ChildStdin, ChildStdout)> {
        let file = File::options().create(true).append(true).open(log)?;
        let mut process = self.spawn(Stdio::piped(), Stdio::piped(), file.into())?;
        let pipes = process.child.stdin.take().zip(process.child.stdout.take());
        let (stdin, stdout) = pipes.context("the process has no pipes")?;
        Ok((process, stdin, stdout))
    }

    /// Runs it with the caller's terminal, to its end.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn on_terminal(&self) -> Result<ExitStatus> {
        let mut command = self.command();
        let mut child =
            self.namespaces.spawn(&mut command).with_context(|| format!("cannot start `{self}`"))?;
        Ok(child.wait()?)
    }

    fn spawn(&self, stdin: Stdio, stdout: Stdio, stderr: Stdio) -> Result<Process> {
        let mut command = self.command();
        // A group of its own: Ctrl-C is for the lab, which ends its processes in order.
        command.stdin(stdin).stdout(stdout).stderr(stderr).process_group(0);
        let child = self.namespaces.spawn(&mut command).with_context(|| format!("cannot start `{self}`"))?;
        Ok(Process { child, keep: false })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).envs(self.env.iter().map(|(name, value)| (name, value)));
        command.env("LC_ALL", "C");
        command
    }
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words: Vec<_> = self.words.iter().map(|word| word.to_string_lossy()).collect();
        f.write_str(&words.join(" "))
    }
}

impl Finished {
    /// Its exit status; 128 and the signal's number where a signal ended it.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }

    /// Its standard output, if it succeeded.
    ///
    /// # Errors
    /// What it said on standard error, if it did not.
    pub fn success(self) -> Result<String> {
        if self.status.success() {
            return Ok(self.stdout);
        }
        bail!("`{}` failed with {}: {}", self.shown, self.code(), self.stderr.trim_end());
    }

    /// Its standard error, if it failed.
    ///
    /// # Errors
    /// When it succeeded.
    pub fn failure(self) -> Result<String> {
        if self.status.success() {
            bail!("`{}` succeeded, and should have failed: {}", self.shown, self.stdout.trim_end());
        }
        Ok(self.stderr)
    }

    /// Its standard output as JSON, if it succeeded.
    ///
    /// # Errors
    /// When it failed, or wrote something else.
    pub fn json<T: DeserializeOwned>(self) -> Result<T> {
        let shown = self.shown.clone();
        let text = self.success()?;
        serde_json::from_str(&text).with_context(|| format!("`{shown}` printed no such JSON: {text}"))
    }
}

/// A running process; dropping it kills and reaps it, unless it was told to [`Process::stay`].
#[derive(Debug)]
pub struct Process {
    child: Child,
    keep: bool,
}

impl Process {
    /// Its number, as seen from here.
    pub fn pid(&self) -> Pid {
        // A process number fits: Linux keeps them below 2^22.
        Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(i32::MAX))
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end; `None` when the deadline came first.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn wait(&mut self, deadline: Duration) -> Result<Option<ExitStatus>> {
        let (sender, ended) = mpsc::channel();
        let pid = self.pid();
        // WNOWAIT leaves the reaping to us, so that its number stays its own until then. The thread
        // ends with the process.
        std::thread::spawn(move || {
            let _ = waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
            let _ = sender.send(());
        });
        match ended.recv_timeout(deadline) {
            Ok(()) => Ok(Some(self.child.wait()?)),
            Err(_) => Ok(None),
        }
    }

    /// Asks it to end with SIGTERM and waits.
    ///
    /// # Errors
    /// When it does not within `deadline`; it is killed then.
    pub fn terminate(&mut self, deadline: Duration) -> Result<ExitStatus> {
        if self.is_running() {
            kill(self.pid(), Signal::SIGTERM)?;
        }
        match self.wait(deadline)? {
            Some(status) => Ok(status),
            None => {
                self.kill();
                bail!("process {} did not end within {deadline:?} of SIGTERM", self.pid())
            }
        }
    }

    /// Kills it with SIGKILL and reaps it.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        // What SIGKILL does not end within this time hangs in the kernel, and no wait would help.
        let _ = self.wait(KILL_DEADLINE);
    }

    /// Lets it outlive this value.
    pub fn stay(mut self) {
        self.keep = true;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.keep {
            self.kill();
        }
    }
}

fn read_back(file: &mut File) -> Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.take(OUTPUT_LIMIT_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_success_failure_and_text_apart() {
        assert_eq!(Call::new("echo").args(["a"]).output().unwrap(), "a\n");
        let error = Call::new("sh").args(["-c", "echo why >&2; exit 3"]).output().unwrap_err().to_string();
        assert!(error.contains("failed with 3: why"), "{error}");
        assert!(Call::new("true").finish().unwrap().failure().is_err());
    }

    #[test]
    fn ends_what_outlives_its_deadline() {
        let error =
            Call::new("sleep").args(["600"]).deadline(Duration::from_millis(10)).finish().unwrap_err();
        assert!(error.to_string().contains("did not end"), "{error}");
    }
}
