//! Running a tool to its end: with a deadline, limits, and bounded output.

use super::confine::{Bounds, Confined};
use super::find::Programs;
use super::place::Place;
use bootstash_base::error::Classified;
use serde_json::json;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Child;

const STDOUT_MAX_BYTES: usize = 1 << 20;
const STDERR_MAX_BYTES: usize = 4096;
/// QEMU's tools read with up to 64 threads.
const TOOL_TASKS: u32 = 96;

/// What a tool may use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Wall-clock time; then it is killed.
    pub(super) deadline: Duration,
    /// Address space, in bytes.
    pub(super) memory_bytes: u64,
}

/// What any call to a QEMU program can meet, and the text of what no type foresees.
#[derive(Debug, thiserror::Error, Classified)]
pub enum QemuFailure {
    /// The program could not be started.
    #[error("cannot run {}", .program.display())]
    #[class(operator)]
    Spawn {
        /// Its absolute path.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It did not end in time, and was killed.
    #[error("{command} did not end within {} s", .after.as_secs())]
    #[class(transient)]
    Deadline {
        /// The command line.
        command: String,
        /// How long we waited.
        after: Duration,
    },
    /// It said something we have no word for.
    #[error("{command} failed ({status}): {stderr}")]
    #[class(operator)]
    Unexpected {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said, bounded.
        stderr: String,
    },
    /// It answered in a form we cannot read.
    #[error("{command} answered in a form this version cannot read")]
    #[class(operator)]
    Answer {
        /// The command line.
        command: String,
        /// What the parser said.
        source: serde_json::Error,
    },
}

impl Limits {
    /// Limits for a tool that looks at metadata only.
    pub(super) const METADATA: Self = Self { deadline: Duration::from_secs(60), memory_bytes: 2 << 30 };

    fn bounds(self) -> Bounds {
        Bounds {
            memory_bytes: self.memory_bytes,
            cpu: Some(self.deadline),
            file_bytes: None,
            tasks: TOOL_TASKS,
        }
    }

    /// Limits for a tool that reads all of a disk of `bytes`, at 20 MB/s or more.
    pub(super) fn reading(bytes: u64) -> Self {
        Self { deadline: Duration::from_secs(60 + bytes / 20_000_000), memory_bytes: 4 << 30 }
    }
}

/// How a tool ended, and what it said.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) status: ExitStatus,
    pub(super) stdout: Vec<u8>,
    /// On one line, printable.
    pub(super) stderr: String,
    /// The command line, for errors.
    pub(super) command: String,
}

impl Finished {
    /// The failure to report where this end is none the caller has a word for.
    pub(super) fn unexpected(self) -> QemuFailure {
        QemuFailure::Unexpected { command: self.command, status: self.status, stderr: self.stderr }
    }
}

/// Runs `qemu-img` with `args`, on files of our own making. Dropping the future kills it.
pub(super) async fn qemu_img(
    programs: &Programs,
    args: &[OsString],
    limits: Limits,
) -> Result<Finished, QemuFailure> {
    on_ours(programs, &programs.img, args, limits).await
}

/// Runs a program with `args`, on files of our own making. Dropping the future kills it.
pub(super) async fn on_ours(
    programs: &Programs,
    program: &Path,
    args: &[OsString],
    limits: Limits,
) -> Result<Finished, QemuFailure> {
    let confined =
        Confined { programs, bounds: limits.bounds(), place: None, group: None, background: false };
    run(&confined, program, args, limits.deadline).await
}

/// Runs `qemu-img` with `args` in `place`, where it finds what somebody else made; it writes no file.
pub(super) async fn qemu_img_in(
    place: &Place,
    programs: &Programs,
    args: &[OsString],
    limits: Limits,
) -> Result<Finished, QemuFailure> {
    qemu_img_writing(place, programs, args, limits, 0).await
}

/// The same, where it writes files of `file_bytes` at most.
pub(super) async fn qemu_img_writing(
    place: &Place,
    programs: &Programs,
    args: &[OsString],
    limits: Limits,
    file_bytes: u64,
) -> Result<Finished, QemuFailure> {
    let bounds = Bounds { file_bytes: Some(file_bytes), ..limits.bounds() };
    let confined = Confined { programs, bounds, place: Some(place), group: None, background: false };
    run(&confined, &programs.img, args, limits.deadline).await
}

/// Runs a program with `args` to its end. Dropping the future kills it.
pub(super) async fn run(
    confined: &Confined<'_>,
    program: &Path,
    args: &[OsString],
    deadline: Duration,
) -> Result<Finished, QemuFailure> {
    let command = command_line(program, args);
    let failed = |source| QemuFailure::Spawn { program: program.to_owned(), source };
    let child = confined
        .command()
        .arg(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    match tokio::time::timeout(deadline, finish(child)).await {
        Ok(end) => {
            let (status, stdout, stderr) = end.map_err(failed)?;
            Ok(Finished { status, stdout, stderr: one_line(&stderr), command })
        }
        Err(_) => Err(QemuFailure::Deadline { command, after: deadline }),
    }
}

async fn finish(mut child: Child) -> io::Result<(ExitStatus, Vec<u8>, Vec<u8>)> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (stdout, stderr) =
        tokio::join!(read_bounded(stdout, STDOUT_MAX_BYTES), read_bounded(stderr, STDERR_MAX_BYTES));
    Ok((child.wait().await?, stdout?, stderr?))
}

/// The first `max` bytes of a pipe, which is read to its end so that the writer never waits.
pub(super) async fn read_bounded<R: AsyncRead + Unpin>(pipe: Option<R>, max: usize) -> io::Result<Vec<u8>> {
    let Some(mut pipe) = pipe else { return Ok(Vec::new()) };
    let mut kept = Vec::new();
    (&mut pipe).take(max as u64).read_to_end(&mut kept).await?;
    tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await?;
    Ok(kept)
}

/// A tool's words on one line, without control characters.
pub(super) fn one_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("; ").chars().filter(|c| !c.is_control()).collect()
}

fn command_line(program: &Path, args: &[OsString]) -> String {
    let name = program.file_name().unwrap_or(program.as_os_str());
    let words = std::iter::once(name).chain(args.iter().map(OsString::as_os_str));
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Arguments of mixed kinds as one list.
pub(super) fn args<const N: usize>(words: [&dyn AsRef<std::ffi::OsStr>; N]) -> Vec<OsString> {
    words.iter().map(|word| word.as_ref().to_owned()).collect()
}

/// A path that no tool takes for an option or a protocol.
pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// A qcow2 file as an argument that opens it alone: a plain path has `qemu-img check` open, too, the
/// backing file that the header names, in the format the header says or none says.
pub(super) fn alone(path: &Path) -> String {
    let file = json!({ "driver": "file", "filename": path.to_string_lossy() });
    format!("json:{}", json!({ "driver": "qcow2", "backing": null, "file": file }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keeps_the_beginning_and_reads_to_the_end() {
        let (mut writer, reader) = tokio::io::duplex(16);
        let write = async move {
            use tokio::io::AsyncWriteExt;
            writer.write_all(&[b'x'; 1000]).await.unwrap();
        };
        let (kept, ()) = tokio::join!(read_bounded(Some(reader), 10), write);
        assert_eq!(kept.unwrap(), [b'x'; 10]);
    }

    #[test]
    fn words_fit_one_line() {
        assert_eq!(one_line(b"qemu-img: a\n\n  b\x1b[0m\n"), "qemu-img: a; b[0m");
    }
}
