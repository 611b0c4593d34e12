//! When is a boot complete? Facts with their times in, a verdict out. Pure.
//!
//! Quiet alone says little: a guest reads nothing for up to 48 s while it unpacks its kernel under
//! emulation. So quiet counts from a signal on; without any signal only for long, and only for a
//! guest which has read enough to have loaded a kernel at all. An agent may answer while services still
//! start; so before a login prompt is there, what the guest prints counts as unrest, too.

use bootstash_daemon::config::CaptureConfig;
use bootstash_delta::catalog::BootSignal;
use std::time::Duration;

/// What a boot loader that got nowhere does not reach, and the smallest kernel does.
const LEAST_BYTES_OF_A_SYSTEM: u64 = 4 << 20;
/// A guest says more after its fatal line; and a signal may yet prove that the line was none.
const GRACE: Duration = Duration::from_secs(3);

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
    /// It printed something.
    Console,
    /// It is up.
    Signal(BootSignal),
    /// It said that it will not come up.
    Fatal(&'static str),
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
    Fatal(&'static str),
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
    fatal: Option<(Duration, &'static str)>,
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
            fatal: None,
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
            Event::Console => self.last_print = at,
            Event::Signal(signal) => {
                self.signal.get_or_insert((at, signal));
                if signal == BootSignal::LoginPrompt {
                    self.prompt.get_or_insert(at);
                }
            }
            Event::Fatal(why) => {
                self.fatal.get_or_insert((at, why));
            }
            Event::Ended => self.ended = true,
        }
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
        if self.ended {
            return Verdict::Failed(Failure::Ended);
        }
        if now >= self.rules.limit {
            return Verdict::Failed(Failure::Limit(self.rules.limit));
        }
        if self.bytes_read < LEAST_BYTES_OF_A_SYSTEM {
            return Verdict::Wait(self.rules.limit);
        }
        let silent = self.last_read + self.rules.quiet_without_signal;
        if now >= silent {
            Verdict::Booted(BootSignal::Quiet)
        } else {
            Verdict::Wait(silent.min(self.rules.limit))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { quiet: s(10), quiet_without_signal: s(120), limit: s(600) };
    const LOGIN: Event = Event::Signal(BootSignal::LoginPrompt);

    const AGENT: Event = Event::Signal(BootSignal::GuestAgent);

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn after(events: &[(u64, Event)]) -> Detector {
        let mut detector = Detector::new(RULES);
        for &(at, event) in events {
            detector.see(s(at), event);
        }
        detector
    }

    /// Follows the verdicts to the end, as one who sleeps until told.
    fn end(detector: &Detector) -> (u64, Verdict) {
        let mut now = Duration::ZERO;
        loop {
            match detector.verdict(now) {
                Verdict::Wait(until) => {
                    assert!(until > now, "would wait forever");
                    now = until;
                }
                verdict => return (now.as_secs(), verdict),
            }
        }
    }

    #[test]
    fn login_and_quiet_make_a_boot() {
        let detector = after(&[(20, Event::NewCluster), (50, LOGIN)]);
        assert_eq!(end(&detector), (60, Verdict::Booted(BootSignal::LoginPrompt)));
    }

    #[test]
    fn each_new_cluster_after_the_signal_starts_the_quiet_again() {
        let detector = after(&[(50, LOGIN), (58, Event::NewCluster), (63, Event::NewCluster)]);
        assert_eq!(end(&detector), (73, Verdict::Booted(BootSignal::LoginPrompt)));
    }

    #[test]
    fn reads_from_the_cache_after_the_signal_do_not_count() {
        let detector = after(&[(50, LOGIN), (58, Event::BytesRead(100 << 20))]);
        assert_eq!(end(&detector).0, 60);
    }

    #[test]
    fn first_signal_counts() {
        let detector = after(&[(40, AGENT), (45, LOGIN)]);
        assert_eq!(end(&detector), (55, Verdict::Booted(BootSignal::GuestAgent)));
    }

    #[test]
    fn agent_that_answers_while_services_start_does_not_end_the_boot() {
        let detector = after(&[(40, AGENT), (48, Event::Console), (57, Event::Console)]);
        assert_eq!(end(&detector), (67, Verdict::Booted(BootSignal::GuestAgent)));
    }

    #[test]
    fn what_is_printed_after_the_prompt_does_not_count() {
        let detector = after(&[(50, LOGIN), (58, Event::Console)]);
        assert_eq!(end(&detector).0, 60);
    }

    #[test]
    fn unpacking_a_kernel_in_silence_is_no_boot() {
        let detector = after(&[(10, Event::NewCluster), (10, Event::BytesRead(29 << 20))]);
        assert!(matches!(detector.verdict(s(60)), Verdict::Wait(_)));
    }

    #[test]
    fn without_any_signal_a_long_silence_is_a_doubtful_boot() {
        let detector = after(&[(10, Event::BytesRead(29 << 20)), (70, Event::BytesRead(90 << 20))]);
        assert_eq!(end(&detector), (190, Verdict::Booted(BootSignal::Quiet)));
    }

    #[test]
    fn same_count_of_bytes_is_no_new_read() {
        let read = Event::BytesRead(90 << 20);
        assert_eq!(end(&after(&[(10, read), (100, read)])).0, 130);
    }

    #[test]
    fn a_boot_loader_that_got_nowhere_never_boots_however_quiet() {
        let detector = after(&[(1, Event::NewCluster), (1, Event::BytesRead(512))]);
        assert_eq!(end(&detector), (600, Verdict::Failed(Failure::Limit(s(600)))));
    }

    #[test]
    fn limit_comes_before_a_silence_that_would_end_later() {
        let detector = after(&[(500, Event::BytesRead(90 << 20))]);
        assert_eq!(end(&detector), (600, Verdict::Failed(Failure::Limit(s(600)))));
    }

    #[test]
    fn guest_that_is_up_and_reads_forever_is_up_at_the_limit() {
        let detector = after(&[(50, LOGIN), (595, Event::NewCluster)]);
        assert_eq!(end(&detector), (600, Verdict::Booted(BootSignal::LoginPrompt)));
    }

    #[test]
    fn fatal_words_are_not_waited_out() {
        let detector = after(&[(30, Event::Fatal("it panicked"))]);
        assert_eq!(end(&detector), (33, Verdict::Failed(Failure::Fatal("it panicked"))));
    }

    #[test]
    fn signal_overrules_fatal_words() {
        let detector = after(&[(30, Event::Fatal("it panicked")), (31, LOGIN)]);
        assert_eq!(end(&detector), (41, Verdict::Booted(BootSignal::LoginPrompt)));
    }

    #[test]
    fn ending_counts_as_a_boot_only_after_a_signal() {
        assert_eq!(end(&after(&[(30, Event::Ended)])), (0, Verdict::Failed(Failure::Ended)));
        let detector = after(&[(30, LOGIN), (31, Event::Ended)]);
        assert_eq!(detector.verdict(s(31)), Verdict::Booted(BootSignal::LoginPrompt));
    }
}
