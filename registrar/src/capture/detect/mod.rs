//! When is a boot complete? Facts with their times in, a verdict out. Pure.
//!
//! Quiet alone says little: a guest reads nothing for minutes while it unpacks its kernel under emulation,
//! or waits for a network. So quiet counts from a signal on. Without any signal it counts only of a running system,
//! one that has said so on its console or written to its disk, and only while nothing shows life: no reads
//! from any layer, no output, next to no processor time. An agent may answer while services still start; so before a
//! login prompt is there, what the guest prints counts as unrest, too.

#[cfg(test)]
mod tests;

use bootstash_daemon::config::CaptureConfig;
use bootstash_delta::catalog::BootSignal;
use bootstash_qemu::Fatal;
use std::time::Duration;

/// What a boot loader that got nowhere does not reach, and the smallest kernel does.
const LEAST_BYTES_OF_A_SYSTEM: u64 = 4 << 20;
/// Boot loaders write a few sectors (GRUB its environment block, Windows its boot status), kernels and initial RAM
/// disks none; a root file system that is mounted to be written gets its journal and logs.
const LEAST_BYTES_WRITTEN_BY_A_SYSTEM: u64 = 128 << 10;
/// The part of its time that an idle guest may use of a processor; under emulation one uses a few per cent.
const IDLE_SHARE: u32 = 20;
/// A guest says more after its fatal line; and a signal may yet prove that the line was none.
const GRACE: Duration = Duration::from_secs(3);
/// A first boot may restart once to take up what it set up; before it, UEFI and its boot loader may once each.
const RESTARTS_MAX: u32 = 3;

/// The times that decide.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    quiet: Duration,
    quiet_without_signal: Duration,
    limit: Duration,
}

impl Rules {
    pub(super) fn of(config: &CaptureConfig) -> Self {
        Self {
            quiet: config.quiet,
            quiet_without_signal: config.quiet_without_signal,
            limit: config.boot_timeout,
        }
    }
}

/// What was seen of a guest. Times are from power-on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// It read a cluster of the base for the first time.
    NewCluster,
    /// It has read this number of bytes of its disk, from whichever layer.
    BytesRead(u64),
    /// It has written this number of bytes to its disk.
    BytesWritten(u64),
    /// It has used so much processor time.
    ProcessorTime(Duration),
    /// It printed something.
    Console,
    /// It printed what only a system does that has left its initial RAM disk.
    System,
    /// It is up.
    Signal(BootSignal),
    /// It said that it will not come up.
    Fatal(Fatal),
    /// It restarted.
    Restarted,
    /// It ended by itself.
    Ended,
}

/// What follows from all events so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing before that time, unless an event comes.
    Wait(Duration),
    /// The boot is complete.
    Booted(BootSignal),
    /// It will not be.
    Failed(Failure),
}

/// Why a guest did not boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No signal came within the limit.
    Limit(Duration),
    /// It said so.
    Fatal(Fatal),
    /// It restarted this number of times without staying up.
    RestartLoop(u32),
    /// It ended without a signal.
    Ended,
}

/// The state of one boot.
#[derive(Clone, Debug)]
pub(super) struct Detector {
    rules: Rules,
    signal: Option<(Duration, BootSignal)>,
    prompt: Option<Duration>,
    last_cluster: Duration,
    last_print: Duration,
    bytes_read: u64,
    last_read: Duration,
    bytes_written: u64,
    written_before_restart: u64,
    processor: ProcessorWindow,
    said_it_runs: bool,
    fatal: Option<(Duration, Fatal)>,
    restarts: u32,
    ended: bool,
}

impl Detector {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            signal: None,
            prompt: None,
            last_cluster: Duration::ZERO,
            last_print: Duration::ZERO,
            bytes_read: 0,
            last_read: Duration::ZERO,
            bytes_written: 0,
            written_before_restart: 0,
            processor: ProcessorWindow::default(),
            said_it_runs: false,
            fatal: None,
            restarts: 0,
            ended: false,
        }
    }

    /// Takes an event that was seen `at`.
    pub(super) fn see(&mut self, at: Duration, event: Event) {
        match event {
            Event::NewCluster => self.last_cluster = at,
            Event::BytesRead(total) if total != self.bytes_read => {
                (self.bytes_read, self.last_read) = (total, at);
            }
            Event::BytesRead(_) => (),
            Event::BytesWritten(total) => self.bytes_written = total,
            Event::ProcessorTime(used) => self.processor.see(at, used, self.rules.quiet_without_signal),
            Event::Console => self.last_print = at,
            Event::System => self.said_it_runs = true,
            Event::Signal(signal) => self.signalled(at, signal),
            Event::Fatal(why) => {
                self.fatal.get_or_insert((at, why));
            }
            Event::Restarted => self.restarted(at),
            Event::Ended => self.ended = true,
        }
    }

    fn signalled(&mut self, at: Duration, signal: BootSignal) {
        self.signal.get_or_insert((at, signal));
        if signal == BootSignal::LoginPrompt {
            self.prompt.get_or_insert(at);
        }
    }

    /// What it had reached it has to reach again.
    fn restarted(&mut self, at: Duration) {
        (self.signal, self.prompt, self.fatal, self.said_it_runs) = (None, None, None, false);
        self.written_before_restart = self.bytes_written;
        self.last_print = at;
        self.restarts += 1;
    }

    /// What follows, as of `now`.
    pub(super) fn verdict(&self, now: Duration) -> Verdict {
        match self.signal {
            Some((at, signal)) => self.after_signal(now, at, signal),
            None => self.without_signal(now),
        }
    }

    fn after_signal(&self, now: Duration, at: Duration, signal: BootSignal) -> Verdict {
        let settled = self.prompt.unwrap_or(self.last_print);
        let unrest = at.max(settled).max(self.last_cluster);
        // A guest that is up and never stops reading is up all the same.
        let complete = (unrest + self.rules.quiet).min(self.rules.limit.max(at));
        if self.ended || now >= complete { Verdict::Booted(signal) } else { Verdict::Wait(complete) }
    }

    fn without_signal(&self, now: Duration) -> Verdict {
        if let Some((at, why)) = self.fatal {
            let hopeless = at + GRACE;
            let failed = self.ended || now >= hopeless;
            return if failed { Verdict::Failed(Failure::Fatal(why)) } else { Verdict::Wait(hopeless) };
        }
        if self.restarts > RESTARTS_MAX {
            return Verdict::Failed(Failure::RestartLoop(self.restarts));
        }
        if self.ended {
            return Verdict::Failed(Failure::Ended);
        }
        if self.shows_a_running_system() { self.once_silent(now) } else { self.at_the_limit(now) }
    }

    fn at_the_limit(&self, now: Duration) -> Verdict {
        let limit = self.rules.limit;
        if now >= limit { Verdict::Failed(Failure::Limit(limit)) } else { Verdict::Wait(limit) }
    }

    fn shows_a_running_system(&self) -> bool {
        let written = self.bytes_written.saturating_sub(self.written_before_restart);
        self.bytes_read >= LEAST_BYTES_OF_A_SYSTEM
            && (self.said_it_runs || written >= LEAST_BYTES_WRITTEN_BY_A_SYSTEM)
    }

    /// Of a system that runs. One that keeps its processor busy, as a desktop may forever, has until the limit.
    fn once_silent(&self, now: Duration) -> Verdict {
        let (silence, limit) = (self.rules.quiet_without_signal, self.rules.limit);
        let silent = self.last_read.max(self.last_print) + silence;
        let idle = silent.max(self.processor.last_busy + silence);
        if silent > limit {
            return self.at_the_limit(now);
        }
        let complete = idle.min(limit);
        if now >= complete { Verdict::Booted(BootSignal::Quiet) } else { Verdict::Wait(complete) }
    }
}

/// When a guest last used more of a processor than an idle one does.
#[derive(Clone, Copy, Debug, Default)]
struct ProcessorWindow {
    began: Duration,
    used_before: Duration,
    last_busy: Duration,
}

impl ProcessorWindow {
    /// It has used `used` altogether; who uses up the idle share of a window of `length` is busy.
    fn see(&mut self, at: Duration, used: Duration, length: Duration) {
        let busy = used.saturating_sub(self.used_before) >= length / IDLE_SHARE;
        if busy {
            self.last_busy = at;
        }
        if busy || at.saturating_sub(self.began) >= length {
            (self.began, self.used_before) = (at, used);
        }
    }
}
