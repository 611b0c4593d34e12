//! Single calls: a program started and waited for, against a call of libzfs_core. The start of the
//! program is what is measured, so that it goes through no driver of ours.

use super::table::Round;
use anyhow::{Result, bail, ensure};
use libzetta::zfs::lzc::ZfsLzc;
use libzetta::zfs::{DestroyTiming, Error, SendFlags, ZfsEngine};
use std::io::{PipeReader, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const EXISTS: &str = "call: exists";
const SNAPSHOT: &str = "call: snapshot";
const DESTROY: &str = "call: destroy snapshot";
const FIRST: &str = "call: send 1 MiB, to its first byte";
const WHOLE: &str = "call: send 1 MiB, whole";

/// An initialised libzfs_core.
pub(super) fn engine() -> Result<ZfsLzc> {
    ZfsLzc::new().map_err(told)
}

/// libzetta's errors name no more than their variant.
fn told(error: Error) -> anyhow::Error {
    anyhow::anyhow!("{error:?}")
}

/// Runs a program, which must succeed.
pub(super) fn spawn(words: &[&str]) -> Result<()> {
    let output = Command::new(words[0]).args(&words[1..]).stdin(Stdio::null()).output()?;
    if !output.status.success() {
        bail!("{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// Takes, looks for, sends and destroys a snapshot by programs.
pub(super) fn by_program(name: &str) -> Result<Round> {
    let snapshot = timed(|| spawn(&["zfs", "snapshot", name]))?;
    let exists = timed(|| spawn(&["zfs", "list", "-H", "-o", "name", name]))?;
    let started = Instant::now();
    let (reader, writer) = std::io::pipe()?;
    let mut child = Command::new("zfs").args(["send", name]).stdin(Stdio::null()).stdout(writer).spawn()?;
    let first = read(reader, started)?;
    ensure!(child.wait()?.success(), "zfs send {name} failed");
    let whole = started.elapsed();
    let destroy = timed(|| spawn(&["zfs", "destroy", name]))?;
    Ok(vec![(EXISTS, exists), (SNAPSHOT, snapshot), (DESTROY, destroy), (FIRST, first), (WHOLE, whole)])
}

/// The same by libzfs_core.
pub(super) fn by_library(engine: &ZfsLzc, name: &str) -> Result<Round> {
    let path = PathBuf::from(name);
    let paths = [path.clone()];
    let snapshot = timed(|| engine.snapshot(&paths, None).map_err(told))?;
    let exists = timed(|| match engine.exists(&path) {
        Ok(true) => Ok(()),
        other => bail!("{name} should be there: {other:?}"),
    })?;
    let started = Instant::now();
    let (reader, writer) = std::io::pipe()?;
    let (sender, sent) = (engine.clone(), path.clone());
    let thread = std::thread::spawn(move || sender.send_full(sent, writer, SendFlags::empty()));
    let first = read(reader, started)?;
    thread.join().map_err(|_| anyhow::anyhow!("the sender panicked"))?.map_err(told)?;
    let whole = started.elapsed();
    let destroy = timed(|| engine.destroy_snapshots(&paths, DestroyTiming::RightNow).map_err(told))?;
    Ok(vec![(EXISTS, exists), (SNAPSHOT, snapshot), (DESTROY, destroy), (FIRST, first), (WHOLE, whole)])
}

fn timed(call: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let started = Instant::now();
    call()?;
    Ok(started.elapsed())
}

/// Reads to the end; gives when the first byte was there.
fn read(mut reader: PipeReader, started: Instant) -> Result<Duration> {
    reader.read_exact(&mut [0])?;
    let first = started.elapsed();
    std::io::copy(&mut reader, &mut std::io::sink())?;
    Ok(first)
}
