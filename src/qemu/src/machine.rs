//! One started guest, from power-on to its end.

use super::confine::{Bounds, Confined};
use super::console::{ConsoleDecoder, ConsoleText};
use super::firmware::Flash;
use super::qmp::Qmp;
use super::run::{one_line, read_bounded};
use super::spec::{AGENT_SOCKET, QMP_SOCKET, SERIAL_SOCKET, machine_args};
use super::{MachineError, MachineSpec, Place, Qemu, guest_agent, processor_time, seed};
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStderr};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

const START_DEADLINE: Duration = Duration::from_secs(30);
const QUIT_DEADLINE: Duration = Duration::from_secs(20);
const STDERR_MAX_BYTES: usize = 4096;
/// What QEMU maps beside the guest's memory, generously: code, translated code, thread stacks.
const OVERHEAD_BYTES: u64 = 6 << 30;
/// QEMU writes with up to 64 threads, and has some more beside those of the processors.
const OVERHEAD_TASKS: u32 = 96;

/// A running guest. Dropping it kills it.
#[derive(Debug)]
pub struct Machine {
    child: Child,
    qmp: Qmp,
    console: watch::Sender<ConsoleText>,
    agent: watch::Receiver<bool>,
    restarts: watch::Sender<u32>,
    stderr: AbortOnDropHandle<io::Result<Vec<u8>>>,
    _reads_console: AbortOnDropHandle<()>,
    _asks_agent: AbortOnDropHandle<()>,
    _place: Place,
}

/// What a guest did by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MachineEvent {
    /// It restarted.
    Restarted,
    /// It ended.
    Ended(ExitStatus),
}

/// What a guest has read from its disk and written to it since power-on, whichever layer served it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskTraffic {
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
}

/// How a guest's QEMU ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineEnd {
    /// Its exit status.
    pub status: ExitStatus,
    /// What it said, bounded.
    pub stderr: String,
}

impl Qemu {
    /// Starts a guest in `place`, where its sockets will lie.
    ///
    /// # Errors
    /// Where QEMU does not come up, with its words.
    pub async fn start(&self, spec: &MachineSpec, place: Place) -> Result<Machine, MachineError> {
        let [qmp, serial, agent] = [QMP_SOCKET, SERIAL_SOCKET, AGENT_SOCKET].map(|name| place.listen(name));
        let (qmp, serial, agent) =
            (qmp.map_err(no_sockets)?, serial.map_err(no_sockets)?, agent.map_err(no_sockets)?);
        if spec.seed {
            seed::put(&place).await.map_err(|source| MachineError::Seed { source })?;
        }
        let flash = Flash::in_place(spec.firmware, &place).await?;
        let mut child = self.spawn_machine(spec, flash.as_ref(), &place)?;
        let stderr = AbortOnDropHandle::new(tokio::spawn(collect(child.stderr.take())));
        let connected = tokio::time::timeout(START_DEADLINE, async {
            tokio::try_join!(qmp.accept(), serial.accept(), agent.accept())
        });
        let streams = tokio::select! {
            biased;
            streams = connected => streams,
            status = child.wait() => return Err(died(status.map_err(no_spawn)?, stderr).await),
        };
        let Ok(streams) = streams else {
            return Err(MachineError::NoAnswer { command: "start", after: START_DEADLINE });
        };
        let ((qmp, _), (serial, _), (agent, _)) = streams.map_err(no_sockets)?;
        // With an error in its arguments QEMU may connect first and end then.
        let qmp = tokio::select! {
            biased;
            qmp = Qmp::open(qmp) => qmp,
            status = child.wait() => return Err(died(status.map_err(no_spawn)?, stderr).await),
        };
        let qmp = match qmp {
            Ok(qmp) => qmp,
            Err(error) => return Err(explain(error, child, stderr).await),
        };
        let (console, reads_console) = follow_console(serial);
        let restarts = watch::Sender::new(0);
        let (agent, asks_agent) = follow_agent(agent, restarts.subscribe());
        Ok(Machine {
            child,
            qmp,
            console,
            agent,
            restarts,
            stderr,
            _reads_console: reads_console,
            _asks_agent: asks_agent,
            _place: place,
        })
    }

    fn spawn_machine(
        &self,
        spec: &MachineSpec,
        flash: Option<&Flash>,
        place: &Place,
    ) -> Result<Child, MachineError> {
        let programs = self.programs();
        let group = spec.accelerator.group();
        Confined { programs, bounds: bounds(spec), place: Some(place), group, background: true }
            .command()
            .arg(&programs.system)
            .args(machine_args(spec, flash))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(no_spawn)
    }
}

/// All the processors the guest has, all the time it has, and as much again for QEMU's own work.
fn bounds(spec: &MachineSpec) -> Bounds {
    let limit = spec.time_limit + START_DEADLINE + QUIT_DEADLINE;
    Bounds {
        memory_bytes: (u64::from(spec.memory_mib) << 20) + OVERHEAD_BYTES,
        cpu: Some(limit.saturating_mul(spec.cpus.saturating_add(1))),
        file_bytes: Some(spec.overlay_max_bytes),
        tasks: spec.cpus.saturating_add(OVERHEAD_TASKS),
    }
}

impl Machine {
    /// What the guest prints, as it prints it.
    pub fn console(&self) -> watch::Receiver<ConsoleText> {
        self.console.subscribe()
    }

    /// Becomes true when the guest's agent answers, and false when the guest restarts after that.
    pub fn agent_answered(&self) -> watch::Receiver<bool> {
        self.agent.clone()
    }

    /// What the guest has read and written.
    ///
    /// # Errors
    /// Where QEMU does not answer.
    pub async fn disk_traffic(&mut self) -> Result<DiskTraffic, MachineError> {
        let devices = self.qmp.execute("query-blockstats").await?;
        let devices = devices.as_array().map(Vec::as_slice).unwrap_or_default();
        let sum = |count: &str| devices.iter().filter_map(|device| device["stats"][count].as_u64()).sum();
        Ok(DiskTraffic { read_bytes: sum("rd_bytes"), written_bytes: sum("wr_bytes") })
    }

    /// Processor time that QEMU has used for the guest; none once it has ended.
    pub fn processor_time(&self) -> Option<Duration> {
        self.child.id().and_then(processor_time::of_process)
    }

    /// Whether the guest runs: QEMU's word for its state.
    ///
    /// # Errors
    /// Where QEMU does not answer.
    pub async fn status(&mut self) -> Result<String, MachineError> {
        let status = self.qmp.execute("query-status").await?;
        Ok(status["status"].as_str().unwrap_or("unknown").to_owned())
    }

    /// Waits for what the guest does next by itself. Can be called again after being dropped half-way.
    ///
    /// # Errors
    /// Where the system does not tell how it ended.
    pub async fn event(&mut self) -> Result<MachineEvent, MachineError> {
        tokio::select! {
            status = self.child.wait() => status.map(MachineEvent::Ended).map_err(no_spawn),
            () = self.qmp.restarted() => {
                self.console.send_modify(ConsoleText::restart);
                self.restarts.send_modify(|count| *count += 1);
                Ok(MachineEvent::Restarted)
            }
        }
    }

    /// Waits until the guest has ended by itself. Can be called again after being dropped half-way.
    ///
    /// # Errors
    /// Where the system does not tell how it ended.
    pub async fn ended(&mut self) -> Result<ExitStatus, MachineError> {
        self.child.wait().await.map_err(no_spawn)
    }

    /// Ends the guest at once, as pulling its plug would: shutting it down would only read more.
    ///
    /// # Errors
    /// Where QEMU did not end as told; it is killed then.
    pub async fn quit(mut self) -> Result<MachineEnd, MachineError> {
        if self.child.try_wait().map_err(no_spawn)?.is_none() {
            // An error here means that it ends already; waiting tells.
            if let Err(error) = self.qmp.execute("quit").await {
                tracing::debug!(%error, "QEMU did not take quit");
            }
        }
        match tokio::time::timeout(QUIT_DEADLINE, self.child.wait()).await {
            Ok(status) => {
                let status = status.map_err(no_spawn)?;
                Ok(MachineEnd { status, stderr: words(self.stderr).await })
            }
            Err(_) => {
                self.child.kill().await.map_err(no_spawn)?;
                Err(MachineError::NoAnswer { command: "quit", after: QUIT_DEADLINE })
            }
        }
    }
}

fn follow_console(mut serial: UnixStream) -> (watch::Sender<ConsoleText>, AbortOnDropHandle<()>) {
    let console = watch::Sender::new(ConsoleText::default());
    let text = console.clone();
    let task = tokio::spawn(async move {
        let (mut decoder, mut buffer) = (ConsoleDecoder::default(), [0; 4096]);
        // An error is an end: what matters then is how QEMU ended, and others ask for that.
        while let Ok(read @ 1..) = serial.read(&mut buffer).await {
            text.send_modify(|text| decoder.feed(&buffer[..read], text));
        }
    });
    (console, AbortOnDropHandle::new(task))
}

fn follow_agent(
    stream: UnixStream,
    restarts: watch::Receiver<u32>,
) -> (watch::Receiver<bool>, AbortOnDropHandle<()>) {
    let (answered, receiver) = watch::channel(false);
    let task = tokio::spawn(async move {
        // A connection that ends is the guest's end, which is seen elsewhere.
        drop(guest_agent::attend(stream, &answered, restarts).await);
    });
    (receiver, AbortOnDropHandle::new(task))
}

async fn collect(stderr: Option<ChildStderr>) -> io::Result<Vec<u8>> {
    read_bounded(stderr, STDERR_MAX_BYTES).await
}

async fn words(stderr: AbortOnDropHandle<io::Result<Vec<u8>>>) -> String {
    // What cannot be read was not said; the status tells the rest.
    one_line(&stderr.await.ok().and_then(Result::ok).unwrap_or_default())
}

async fn died(status: ExitStatus, stderr: AbortOnDropHandle<io::Result<Vec<u8>>>) -> MachineError {
    MachineError::Died { status, stderr: words(stderr).await }
}

/// A broken channel right after the start is QEMU ending over its arguments: its words say why.
async fn explain(
    error: MachineError,
    mut child: Child,
    stderr: AbortOnDropHandle<io::Result<Vec<u8>>>,
) -> MachineError {
    match tokio::time::timeout(Duration::from_secs(2), child.wait()).await {
        Ok(Ok(status)) => died(status, stderr).await,
        _ => error,
    }
}

fn no_sockets(source: io::Error) -> MachineError {
    MachineError::Sockets { source }
}

fn no_spawn(source: io::Error) -> MachineError {
    MachineError::Spawn { source }
}
