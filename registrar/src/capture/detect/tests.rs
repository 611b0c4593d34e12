use super::*;

const RULES: Rules = Rules { quiet: s(10), quiet_without_signal: s(120), limit: s(600) };
const LOGIN: Event = Event::Signal(BootSignal::LoginPrompt);

const AGENT: Event = Event::Signal(BootSignal::GuestAgent);
/// As a system does that has mounted its root file system.
const WRITTEN: Event = Event::BytesWritten(5 << 20);

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
fn without_any_signal_a_long_silence_of_a_running_system_is_a_doubtful_boot() {
    let detector =
        after(&[(10, Event::BytesRead(29 << 20)), (70, Event::BytesRead(90 << 20)), (71, WRITTEN)]);
    assert_eq!(end(&detector), (190, Verdict::Booted(BootSignal::Quiet)));
}

#[test]
fn same_count_of_bytes_is_no_new_read() {
    let read = Event::BytesRead(90 << 20);
    assert_eq!(end(&after(&[(10, read), (11, WRITTEN), (100, read)])).0, 130);
}

#[test]
fn a_boot_loader_that_got_nowhere_never_boots_however_quiet() {
    let detector = after(&[(1, Event::NewCluster), (1, Event::BytesRead(512))]);
    assert_eq!(end(&detector), (600, Verdict::Failed(Failure::Limit(s(600)))));
}

#[test]
fn limit_comes_before_a_silence_that_would_end_later() {
    let detector = after(&[(500, Event::BytesRead(90 << 20)), (500, WRITTEN)]);
    assert_eq!(end(&detector), (600, Verdict::Failed(Failure::Limit(s(600)))));
}

#[test]
fn guest_that_is_up_and_reads_forever_is_up_at_the_limit() {
    let detector = after(&[(50, LOGIN), (595, Event::NewCluster)]);
    assert_eq!(end(&detector), (600, Verdict::Booted(BootSignal::LoginPrompt)));
}

#[test]
fn fatal_words_are_not_waited_out() {
    let detector = after(&[(30, Event::Fatal(Fatal::KernelPanic))]);
    assert_eq!(end(&detector), (33, Verdict::Failed(Failure::Fatal(Fatal::KernelPanic))));
}

#[test]
fn signal_overrules_fatal_words() {
    let detector = after(&[(30, Event::Fatal(Fatal::KernelPanic)), (31, LOGIN)]);
    assert_eq!(end(&detector), (41, Verdict::Booted(BootSignal::LoginPrompt)));
}

#[test]
fn ending_counts_as_a_boot_only_after_a_signal() {
    assert_eq!(end(&after(&[(30, Event::Ended)])), (0, Verdict::Failed(Failure::Ended)));
    let detector = after(&[(30, LOGIN), (31, Event::Ended)]);
    assert_eq!(detector.verdict(s(31)), Verdict::Booted(BootSignal::LoginPrompt));
}

/// Reads end after 10 s with 29 MiB of 111; for 200 s the guest does nothing but compute, as far as a busy host lets it.
fn unpacking_slowly() -> Vec<(u64, Event)> {
    let mut events = vec![(10, Event::NewCluster), (10, Event::BytesRead(29 << 20))];
    events.extend((10..210).map(|at| (at, Event::ProcessorTime(s(at) / 8))));
    events
}

#[test]
fn a_kernel_that_unpacks_itself_for_minutes_is_no_boot() {
    let mut events = unpacking_slowly();
    assert!(matches!(after(&events).verdict(s(209)), Verdict::Wait(_)));
    events.extend([(210, Event::BytesRead(60 << 20)), (260, LOGIN)]);
    assert_eq!(end(&after(&events)), (270, Verdict::Booted(BootSignal::LoginPrompt)));
}

#[test]
fn even_without_any_processor_time_it_is_none() {
    let detector = after(&[(10, Event::NewCluster), (10, Event::BytesRead(29 << 20))]);
    assert_eq!(end(&detector), (600, Verdict::Failed(Failure::Limit(s(600)))));
}

#[test]
fn a_line_a_second_while_waiting_for_a_network_is_no_boot() {
    let mut events = vec![(40, Event::BytesRead(87 << 20)), (40, WRITTEN), (40, Event::System)];
    events.extend((41..200).map(|at| (at, Event::Console)));
    assert!(matches!(after(&events).verdict(s(199)), Verdict::Wait(_)));
    events.extend([(200, Event::BytesRead(111 << 20)), (230, LOGIN)]);
    assert_eq!(end(&after(&events)), (240, Verdict::Booted(BootSignal::LoginPrompt)));
}

#[test]
fn who_prints_until_the_limit_and_asks_for_no_login_is_not_up() {
    let mut events = vec![(40, Event::BytesRead(87 << 20)), (40, WRITTEN)];
    events.extend((41..600).map(|at| (at, Event::Console)));
    assert_eq!(end(&after(&events)), (600, Verdict::Failed(Failure::Limit(s(600)))));
}

#[test]
fn each_sign_of_life_starts_the_silence_again() {
    let running = [(10, Event::BytesRead(29 << 20)), (10, WRITTEN)];
    let lives = [Event::Console, Event::BytesRead(30 << 20), Event::ProcessorTime(s(6))];
    for life in lives {
        let events = [&running[..], &[(50, life)]].concat();
        assert_eq!(end(&after(&events)).0, 170, "{life:?}");
    }
    let idle = [&running[..], &[(50, Event::ProcessorTime(s(5)))]].concat();
    assert_eq!(end(&after(&idle)).0, 130);
}

#[test]
fn what_an_idle_guest_uses_of_its_processor_never_adds_up_to_life() {
    let mut events = vec![(10, Event::BytesRead(29 << 20)), (10, WRITTEN)];
    events.extend((1..130).map(|at| (at, Event::ProcessorTime(s(at) * 4 / 100))));
    assert_eq!(end(&after(&events)), (130, Verdict::Booted(BootSignal::Quiet)));
}

#[test]
fn a_system_that_neither_reads_nor_prints_but_computes_is_up_at_the_limit() {
    let mut events = vec![(60, Event::BytesRead(90 << 20)), (60, WRITTEN)];
    events.extend((1..600).map(|at| (at, Event::ProcessorTime(s(at) / 2))));
    assert_eq!(end(&after(&events)), (600, Verdict::Booted(BootSignal::Quiet)));
}

#[test]
fn a_few_sectors_of_a_boot_loader_are_no_running_system() {
    let read = (10, Event::BytesRead(29 << 20));
    let grub = after(&[read, (10, Event::BytesWritten(4096))]);
    assert_eq!(end(&grub), (600, Verdict::Failed(Failure::Limit(s(600)))));
    for evidence in [WRITTEN, Event::System] {
        assert_eq!(end(&after(&[read, (10, evidence)])), (130, Verdict::Booted(BootSignal::Quiet)));
    }
}

#[test]
fn one_restart_of_a_first_boot_is_allowed_and_starts_from_nothing() {
    let first = [(50, Event::BytesRead(90 << 20)), (50, WRITTEN), (50, Event::System), (51, LOGIN)];
    let mut events = first.to_vec();
    events.push((55, Event::Restarted));
    assert_eq!(end(&after(&events)), (600, Verdict::Failed(Failure::Limit(s(600)))));
    events.push((100, LOGIN));
    assert_eq!(end(&after(&events)), (110, Verdict::Booted(BootSignal::LoginPrompt)));
}

#[test]
fn a_loop_of_restarts_is_named_and_not_waited_out() {
    let restarts: Vec<_> = (1..=4).map(|turn| (turn * 20, Event::Restarted)).collect();
    assert!(matches!(after(&restarts[..3]).verdict(s(60)), Verdict::Wait(_)));
    assert_eq!(after(&restarts).verdict(s(80)), Verdict::Failed(Failure::RestartLoop(4)));
}

#[test]
fn fatal_words_of_an_earlier_start_do_not_count_after_a_restart() {
    let panicked = Event::Fatal(Fatal::KernelPanic);
    let detector = after(&[(30, panicked), (31, Event::Restarted), (70, LOGIN)]);
    assert_eq!(end(&detector), (80, Verdict::Booted(BootSignal::LoginPrompt)));
}
