//! Starts `zfs` and `zpool`: the only place where the product starts them.
//!
//! Promises: no shell, the C locale, bounded output, a deadline on each call; a child is killed and
//! reaped whatever happens, also when the future that waits for it is dropped.

use crate::ZfsFailure;
use crate::call_monitor::Calls;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// As much of a complaint as anyone reads.
const STDERR_BYTES: u64 = 8 << 10;
/// A list of a hundred thousand snapshots fits.
const STDOUT_BYTES: u64 = 64 << 20;
/// A killed process in uninterruptible sleep is left to the runtime, which reaps it when it ends.
const KILL_LIMIT: Duration = Duration::from_secs(5);

/// A program at an absolute path.
#[derive(Clone, Debug)]
pub(super) struct Program {
    path: PathBuf,
    calls: Calls,
}

/// How a call ended.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) command: String,
    pub(super) ok: bool,
    /// What killed it.
    pub(super) signal: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Which ends of a child's pipes we hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pipe {
    Input,
    Output,
}

/// A running child and how it is called in errors.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) child: Child,
    pub(super) command: String,
    calls: Calls,
}

impl Program {
    /// A program whose calls count among `calls`.
    pub(super) fn new(path: &Path, calls: &Calls) -> Self {
        Self { path: path.to_owned(), calls: calls.clone() }
    }

    /// Runs it to its end.
    pub(super) async fn call(&self, args: &[&str], limit: Duration) -> Result<Answer, ZfsFailure> {
        let mut running = self.start(args, Pipe::Output)?;
        let _waiting = self.calls.begin(&running.command);
        let stdout = running.child.stdout.take();
        let outcome = timeout(limit, async {
            let (out, err) = tokio::join!(
                bounded(stdout, STDOUT_BYTES),
                bounded(running.child.stderr.take(), STDERR_BYTES)
            );
            (out, err, running.child.wait().await)
        })
        .await;
        let Ok((stdout, stderr, status)) = outcome else {
            return Err(running.overdue(limit).await);
        };
        let status = status.map_err(|source| spawn_failure(&self.path, source))?;
        let (ok, signal) = (status.success(), status.signal());
        Ok(Answer { command: running.command, ok, signal, stdout, stderr })
    }

    /// Starts it with one pipe for its data and one for its complaints.
    pub(super) fn start(&self, args: &[&str], pipe: Pipe) -> Result<Running, ZfsFailure> {
        let (stdin, stdout) = match pipe {
            Pipe::Input => (Stdio::piped(), Stdio::null()),
            Pipe::Output => (Stdio::null(), Stdio::piped()),
        };
        let child = Command::new(&self.path)
            .args(args)
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .stdin(stdin)
            .stdout(stdout)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| spawn_failure(&self.path, source))?;
        Ok(Running { child, command: self.line(args), calls: self.calls.clone() })
    }

    fn line(&self, args: &[&str]) -> String {
        let name = self.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        std::iter::once(name.as_str()).chain(args.iter().copied()).collect::<Vec<_>>().join(" ")
    }
}

impl Running {
    /// Waits for the end of a child whose data has ended, and gives what it said.
    pub(super) async fn end(mut self, limit: Duration) -> Result<Answer, ZfsFailure> {
        let _waiting = self.calls.begin(&self.command);
        let outcome = timeout(limit, async {
            let stderr = bounded(self.child.stderr.take(), STDERR_BYTES).await;
            (stderr, self.child.wait().await)
        })
        .await;
        let Ok((stderr, status)) = outcome else {
            return Err(self.overdue(limit).await);
        };
        let status = status.map_err(|source| ZfsFailure::Spawn { program: self.command.clone(), source })?;
        let (ok, signal) = (status.success(), status.signal());
        Ok(Answer { command: self.command, ok, signal, stdout: String::new(), stderr })
    }

    async fn overdue(mut self, after: Duration) -> ZfsFailure {
        drop(timeout(KILL_LIMIT, self.child.kill()).await);
        ZfsFailure::Deadline { command: self.command, after }
    }
}

fn spawn_failure(path: &Path, source: std::io::Error) -> ZfsFailure {
    ZfsFailure::Spawn { program: path.display().to_string(), source }
}

/// Reads to the end, and keeps the first `bytes`.
async fn bounded(from: Option<impl AsyncRead + Unpin>, bytes: u64) -> String {
    let Some(mut from) = from else { return String::new() };
    let mut kept = Vec::new();
    // An error here is a broken pipe: the exit status says what went wrong.
    drop((&mut from).take(bytes).read_to_end(&mut kept).await);
    drop(tokio::io::copy(&mut from, &mut tokio::io::sink()).await);
    String::from_utf8_lossy(&kept).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ends_what_gives_no_answer() {
        let sleep = Program::new(Path::new("/bin/sleep"), &Calls::default());
        let error = sleep.call(&["1000"], Duration::from_millis(20)).await.unwrap_err();
        assert!(matches!(error, ZfsFailure::Deadline { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn bounds_what_it_keeps_of_a_flood() {
        let shell = Program::new(Path::new("/bin/sh"), &Calls::default());
        let flood = "head -c 1000000 /dev/zero | tr '\\0' x >&2; exit 3";
        let answer = shell.call(&["-c", flood], Duration::from_secs(60)).await.unwrap();
        assert!(!answer.ok);
        assert_eq!(answer.stderr.len() as u64, STDERR_BYTES);
    }

    #[tokio::test]
    async fn names_a_program_that_is_not_there() {
        let nothing = Program::new(Path::new("/nonexistent/zfs"), &Calls::default());
        let error = nothing.call(&["list"], Duration::from_secs(5)).await.unwrap_err();
        assert_eq!(error.to_string(), "cannot run /nonexistent/zfs");
    }
}
