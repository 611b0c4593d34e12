//! Booting an image on a node from a base that answers every read with an error: what a node is for.

use super::host::Host;
use super::record::ProcessId;
use super::refusing::RefusingImages;
use super::refusing_fs::RefusedRead;
use super::run::Process;
use super::wait;
use anyhow::{Context, Result, anyhow, bail};
use bootstash_qemu::ConsoleText;
use serde::Serialize;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ChildStdin;
use std::time::{Duration, Instant};

const BOOT_DEADLINE: Duration = Duration::from_secs(400);
const END_DEADLINE: Duration = Duration::from_secs(30);

/// What a warm boot took.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WarmBoot {
    /// The name of the image.
    pub image: String,
    /// The node.
    pub node: String,
    /// From the command to the login prompt, the making of the overlay included.
    pub seconds: f64,
    /// Bytes that were asked of the base, and refused.
    pub base_bytes_read: u64,
    /// Where those bytes are: the first reads.
    pub base_reads: Vec<RefusedRead>,
    /// Bytes that crossed the node's interface meanwhile, both ways.
    pub network_bytes: u64,
}

/// A VM that `bootstash boot` runs on a node.
#[derive(Debug)]
pub struct Vm<'a> {
    host: &'a Host,
    process: Process,
    keyboard: ChildStdin,
    console: PathBuf,
    image: String,
}

/// Boots `image` on `host` to its login prompt while every read of its base fails, then ends it.
///
/// # Errors
/// When it does not reach the prompt; the error shows the end of its console.
pub fn warm_boot(host: &Host, image: &str) -> Result<WarmBoot> {
    let refusing = RefusingImages::on(host)?;
    let (before, start) = (host.traffic()?, Instant::now());
    let vm = Vm::start(host, image)?;
    vm.wait_for_prompt()?;
    let (seconds, after) = (start.elapsed().as_secs_f64(), host.traffic()?);
    let refused = refusing.counts()?;
    vm.end()?;
    Ok(WarmBoot {
        image: image.to_owned(),
        node: host.name().to_owned(),
        seconds,
        base_bytes_read: refused.bytes,
        base_reads: refused.first,
        network_bytes: after.received_bytes - before.received_bytes + after.sent_bytes - before.sent_bytes,
    })
}

impl<'a> Vm<'a> {
    /// Starts a VM of `image`.
    ///
    /// # Errors
    /// When the command cannot be started.
    pub fn start(host: &'a Host, image: &str) -> Result<Self> {
        let file = tempfile::Builder::new().prefix("console-").suffix(".log").tempfile_in(host.dir())?;
        let console = file.into_temp_path().keep()?;
        let (process, keyboard) = host.command("bootstash", ["boot", image]).start_typed(&console)?;
        Ok(Self { host, process, keyboard, console, image: image.to_owned() })
    }

    /// Waits until it has its overlay and prints.
    ///
    /// # Errors
    /// When it ends before.
    pub fn wait_for_console(&self) -> Result<()> {
        self.wait_for("show its console", |text| text.newest_line().is_some())
    }

    /// Waits until it asks for a login.
    ///
    /// # Errors
    /// When it ends, hits what no boot comes back from, or takes too long.
    pub fn wait_for_prompt(&self) -> Result<()> {
        self.wait_for("ask for a login", ConsoleText::login_prompt)
    }

    /// Types a line at its console.
    ///
    /// # Errors
    /// When it has ended.
    pub fn type_line(&mut self, line: &str) -> Result<()> {
        self.keyboard.write_all(format!("{line}\n").as_bytes()).with_context(|| self.console_tail())
    }

    /// Waits until what it printed, which `look` sees whole, shows what is looked for.
    ///
    /// # Errors
    /// The errors of `look`, and a timeout.
    pub fn wait_for_output<T>(&self, deed: &str, look: impl Fn(&str) -> Result<Option<T>>) -> Result<T> {
        let what = format!("{} on {} to {deed}", self.image, self.host.name());
        let seen = wait::until(&what, BOOT_DEADLINE, || {
            let bytes = fs::read(&self.console).with_context(|| self.console.display().to_string())?;
            // What went wrong does not mend itself: it ends the wait.
            Ok(look(&String::from_utf8_lossy(&bytes)).transpose())
        });
        seen.and_then(|found| found).with_context(|| self.console_tail())
    }

    fn wait_for(&self, deed: &str, done: impl Fn(&ConsoleText) -> bool) -> Result<()> {
        let what = format!("{} on {} to {deed}", self.image, self.host.name());
        let seen = wait::until(&what, BOOT_DEADLINE, || {
            let running = ProcessId::of(self.process.pid()).is_some();
            let text = read_console(&self.console)?;
            let hopeless =
                text.fatal().map(|why| why.to_string()).or((!running).then(|| "it ended".to_owned()));
            Ok(done(&text).then_some(Ok(())).or(hopeless.map(Err)))
        });
        seen.and_then(|end| end.map_err(|why| anyhow!("waited for {what}: {why}")))
            .with_context(|| self.console_tail())
    }

    /// The end of what it printed.
    pub fn console_tail(&self) -> String {
        let text = read_console(&self.console).unwrap_or_default();
        format!("its console ends with:\n{}", text.tail().join("\n"))
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// Ends it, as a person's ctrl-C would.
    ///
    /// # Errors
    /// When it does not end.
    pub fn end(mut self) -> Result<()> {
        if !self.process.is_running() {
            bail!(
                "the VM of {} on {} ended by itself; {}",
                self.image,
                self.host.name(),
                self.console_tail()
            );
        }
        self.process.terminate(END_DEADLINE).map(drop)
    }
}

fn read_console(path: &Path) -> Result<ConsoleText> {
    Ok(ConsoleText::of(&fs::read(path).with_context(|| format!("reading {}", path.display()))?))
}
