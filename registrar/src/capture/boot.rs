//! One capture boot: the guest, its export, and the detector that says when it is complete.

use super::detect::{Detector, Event, Failure, Rules, Verdict};
use super::error::CaptureError;
use super::on_disk;
use super::progress::BootReporter;
use bootstash_base::kill_point::{KillPoint, kill_point};
use bootstash_daemon::config::CaptureConfig;
use bootstash_delta::catalog::BootSignal;
use bootstash_disk::Source;
use bootstash_disk::nbd::{BlockSource, Export, TraceView};
use bootstash_qemu::{
    Accelerator, ConsoleText, DiskChain, HardwareProfile, Machine, MachineEnd, MachineError, MachineEvent,
    MachineSpec, Place, Qemu,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How often the guest is asked what it has read, and others are told how far it is.
const ASK_EVERY: Duration = Duration::from_secs(1);

// What the guest finds in its place.
const OVERLAY: &str = "overlay";
const CACHE: &str = "cache";
const BASE_SOCKET: &str = "base";

/// A boot to run.
pub(super) struct BootPlan<'a> {
    /// From 1.
    pub(super) number: u32,
    pub(super) profile: HardwareProfile,
    pub(super) image: &'a Source,
    pub(super) config: &'a CaptureConfig,
    pub(super) accelerator: Accelerator,
    pub(super) seed: bool,
    pub(super) source: Arc<dyn BlockSource>,
    /// The cache so far.
    pub(super) cache: Option<PathBuf>,
    pub(super) scratch: &'a Path,
    /// When the first boot of the image began.
    pub(super) series_began: Instant,
}

/// A complete boot.
#[derive(Debug)]
pub(super) struct Booted {
    pub(super) profile: HardwareProfile,
    pub(super) signal: BootSignal,
    /// After the first boot of the image.
    pub(super) began: Duration,
    pub(super) took: Duration,
    /// Read from the base, in the order of first reads.
    pub(super) clusters: Vec<u64>,
    /// Why a try before this one failed.
    pub(super) retried_after: Option<String>,
}

/// Boots the image once and waits until the boot is complete. Dropping the future ends the guest.
pub(super) async fn run(
    qemu: &Qemu,
    plan: BootPlan<'_>,
    report: &BootReporter<'_>,
) -> Result<Booted, CaptureError> {
    let no_scratch = |source| CaptureError::Scratch { dir: plan.scratch.to_owned(), source };
    let scratch = plan.scratch.to_owned();
    let place = on_disk(move || Place::create_in(&scratch)).await.map_err(no_scratch)?;
    let overlay = place.path().join(OVERLAY);
    // The chain is given node by node, so that nothing opens what this header names.
    qemu.create_overlay(&overlay, &plan.scratch.join("cache.qcow2"), plan.image.virtual_size_bytes).await?;
    let cache = plan.cache.clone();
    let (place, listener) = on_disk(move || furnish(place, cache.as_deref())).await.map_err(no_scratch)?;
    let cache = plan.cache.as_ref().map(|_| CACHE);
    let export = Export::serve(listener, Arc::clone(&plan.source));
    let spec = MachineSpec {
        accelerator: plan.accelerator,
        profile: plan.profile,
        memory_mib: plan.config.memory_mib,
        cpus: plan.config.cpus,
        time_limit: plan.config.boot_timeout,
        overlay_max_bytes: u64::from(plan.config.overlay_mib) << 20,
        disk: DiskChain { overlay: OVERLAY, cache, base_socket: BASE_SOCKET },
        firmware: plan.image.firmware,
        seed: plan.seed,
    };
    let failed = |source| machine_error(&plan, source);
    let machine = qemu.start(&spec, place).await.map_err(failed)?;
    kill_point(KillPoint::CaptureBooting);
    let mut watched = Watched::new(machine, &export, Rules::of(plan.config));
    let verdict = watched.until_verdict(report).await.map_err(failed)?;
    let (watched_from, took) = (watched.started, watched.started.elapsed());
    let console = watched.console.borrow().tail();
    let end = watched.machine.quit().await;
    match (verdict, end) {
        (Ok(signal), end) => {
            if let Err(error) = end {
                tracing::warn!(%error, "a guest had to be killed");
            }
            let began = watched_from.duration_since(plan.series_began);
            let clusters = export.trace().clusters();
            Ok(Booted { profile: plan.profile, signal, began, took, clusters, retried_after: None })
        }
        (Err(Failure::Ended), Ok(MachineEnd { status, stderr })) if !status.success() => {
            Err(failed(MachineError::Died { status, stderr }))
        }
        (Err(failure), _) => {
            let (path, boot, firmware) = (plan.image.path.clone(), plan.number, plan.image.firmware);
            Err(CaptureError::NeverBooted { path, boot, firmware, tries: 1, failure, console })
        }
    }
}

/// Gives the guest's process what it is to find in its place, and listens for it. Blocks, within a runtime.
fn furnish(place: Place, cache: Option<&Path>) -> std::io::Result<(Place, tokio::net::UnixListener)> {
    place.hand_over(OVERLAY)?;
    if let Some(cache) = cache {
        place.lend(cache, CACHE)?;
    }
    let listener = place.listen(BASE_SOCKET)?;
    Ok((place, listener))
}

fn machine_error(plan: &BootPlan<'_>, source: MachineError) -> CaptureError {
    CaptureError::Machine { path: plan.image.path.clone(), boot: plan.number, tries: 1, source }
}

/// A guest and all that is watched of it.
struct Watched {
    machine: Machine,
    console: watch::Receiver<ConsoleText>,
    agent: watch::Receiver<bool>,
    trace: watch::Receiver<TraceView>,
    detector: Detector,
    started: Instant,
}

impl Watched {
    fn new(machine: Machine, export: &Export, rules: Rules) -> Self {
        Self {
            console: machine.console(),
            agent: machine.agent_answered(),
            trace: export.trace().watch(),
            detector: Detector::new(rules),
            started: Instant::now(),
            machine,
        }
    }

    async fn until_verdict(
        &mut self,
        report: &BootReporter<'_>,
    ) -> Result<Result<BootSignal, Failure>, MachineError> {
        let mut next_question = self.started + ASK_EVERY;
        loop {
            let until = match self.detector.verdict(self.started.elapsed()) {
                Verdict::Wait(until) => self.started + until,
                Verdict::Booted(signal) => {
                    self.report(report);
                    return Ok(Ok(signal));
                }
                Verdict::Failed(failure) => return Ok(Err(failure)),
            };
            tokio::select! {
                () = changed(&mut self.console) => self.see_console(),
                () = changed(&mut self.trace) => self.see(Event::NewCluster),
                () = changed(&mut self.agent) => self.see_agent(),
                event = self.machine.event() => match event? {
                    MachineEvent::Ended(_) => self.see(Event::Ended),
                    MachineEvent::Restarted => self.see(Event::Restarted),
                },
                () = tokio::time::sleep_until(until.min(next_question)) => {
                    if Instant::now() >= next_question {
                        self.report(report);
                        self.ask().await?;
                        next_question = Instant::now() + ASK_EVERY;
                    }
                }
            }
        }
    }

    fn see(&mut self, event: Event) {
        self.detector.see(self.started.elapsed(), event);
    }

    fn see_console(&mut self) {
        let (prompt, fatal, running) = {
            let text = self.console.borrow_and_update();
            (text.login_prompt(), text.fatal(), text.shows_a_running_system())
        };
        self.see(Event::Console);
        if running {
            self.see(Event::System);
        }
        if prompt {
            self.see(Event::Signal(BootSignal::LoginPrompt));
        }
        if let Some(why) = fatal {
            self.see(Event::Fatal(why));
        }
    }

    fn see_agent(&mut self) {
        if *self.agent.borrow_and_update() {
            self.see(Event::Signal(BootSignal::GuestAgent));
        }
    }

    fn report(&self, report: &BootReporter<'_>) {
        report.console(self.console.borrow().newest_line());
        report.clusters(self.trace.borrow().clusters);
    }

    /// A guest that is just ending does not answer; that is for the next turn to see.
    async fn ask(&mut self) -> Result<(), MachineError> {
        if let Some(used) = self.machine.processor_time() {
            self.see(Event::ProcessorTime(used));
        }
        match self.machine.disk_traffic().await {
            Ok(traffic) => {
                self.see(Event::BytesRead(traffic.read_bytes));
                self.see(Event::BytesWritten(traffic.written_bytes));
            }
            Err(error) => match tokio::time::timeout(ASK_EVERY, self.machine.ended()).await {
                Ok(Ok(_)) => self.see(Event::Ended),
                _ => return Err(error),
            },
        }
        Ok(())
    }
}

/// The next change; never, where the sender is gone.
async fn changed<T>(receiver: &mut watch::Receiver<T>) {
    if receiver.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
