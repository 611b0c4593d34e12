use super::*;
use proptest::prelude::*;

/// Consoles as guests print them, each with whether it shows a prompt and what is fatal in it.
const RECORDED: [(&str, bool, Option<&str>); 9] = [
    // The kernel's line comes in the same moment as the prompt.
    (
        "[  OK  ] Reached target \x1b[0;1;39mmulti-user.target\x1b[0m - Multi-User System.\r\n\r\n\
         Debian GNU/Linux 12 debian12-nginx ttyS0\r\n\r\n\
         debian12-nginx login: [   87.534283] kvm: Nested Virtualization enabled\r\n\
         [   87.541002] SVM: kvm: Nested Paging enabled\r\n",
        true,
        None,
    ),
    ("[   12.1] random: crng init done host login: [   12.2] more\r\n", true, None),
    (
        "\r\nWelcome to Alpine Linux 3.20\r\nKernel 6.6 on an x86_64 (/dev/ttyS0)\r\n\r\nlocalhost login: ",
        true,
        None,
    ),
    (
        "Debian GNU/Linux 12 bär ttyS0\r\n\r\nDebian GNU/Linux 12 host ttyS0\r\n\r\nhost Anmeldename: ",
        true,
        None,
    ),
    ("Ubuntu 24.04 box ttyS0\r\n\r\nbox root (automatic login)\r\n\r\n", true, None),
    ("\x1b]3008;start=1;machineid=2\x1b\\\x1b[?2004hroot@host:~# ", true, None),
    ("\x1b[2J\x1b[01;01HGRUB\x1b[5dgrub rescue> ", false, Some(FATAL[2].1)),
    ("[    2.3] Kernel panic - not syncing: VFS: Unable to mount root fs\r\n", false, Some(FATAL[1].1)),
    ("You are in emergency mode. After logging in, type\r\nroot@host:~# ", false, Some(FATAL[4].1)),
];

fn console(text: &str) -> ConsoleText {
    ConsoleText::of(text.as_bytes())
}

fn shows_prompt(text: &str) -> bool {
    console(text).login_prompt()
}

/// The same console, read in pieces that end at the given places.
fn in_pieces(bytes: &[u8], ends: &[usize]) -> ConsoleText {
    let (mut decoder, mut text) = (ConsoleDecoder::default(), ConsoleText::default());
    let mut from = 0;
    for &end in ends.iter().filter(|end| **end <= bytes.len()) {
        decoder.feed(&bytes[from..end], &mut text);
        from = end;
    }
    decoder.feed(&bytes[from..], &mut text);
    text
}

proptest! {
    #[test]
    fn any_way_of_cutting_a_console_gives_the_same_text(
        which in 0..RECORDED.len(),
        mut ends in proptest::collection::vec(0..400_usize, 0..40),
    ) {
        ends.sort_unstable();
        let bytes = RECORDED[which].0.as_bytes();
        prop_assert_eq!(in_pieces(bytes, &ends), ConsoleText::of(bytes));
    }

    #[test]
    fn any_bytes_cut_anywhere_give_the_same_text(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        mut ends in proptest::collection::vec(0..400_usize, 0..40),
    ) {
        ends.sort_unstable();
        prop_assert_eq!(in_pieces(&bytes, &ends), ConsoleText::of(&bytes));
    }
}

#[test]
fn recorded_consoles_are_judged_as_they_are_read_one_byte_at_a_time() {
    for (bytes, prompt, fatal) in RECORDED {
        let ends: Vec<usize> = (0..bytes.len()).collect();
        let text = in_pieces(bytes.as_bytes(), &ends);
        assert_eq!((text.login_prompt(), text.fatal()), (prompt, fatal), "{bytes}");
    }
}

#[test]
fn sees_a_prompt_whether_or_not_its_line_goes_on() {
    assert!(shows_prompt("Debian 12 host ttyS0\r\n\r\nhost login: "));
    assert!(shows_prompt("host login: \r\n[  OK  ] Started\r\n"));
    assert!(shows_prompt("host Login: "));
    assert!(shows_prompt("host login:"));
    assert!(shows_prompt(&format!("{}host login: ", "[ 1.0] loading ".repeat(100))));
}

#[test]
fn words_that_look_like_a_prompt_are_none() {
    assert!(!shows_prompt("starting login service\r\n"));
    assert!(!shows_prompt("pam_unix(login:session): session opened\r\n"));
    assert!(!shows_prompt("systemd-logind: new seat seat0\r\n"));
    assert!(!shows_prompt("host Warnung:\r\nudev usuarios:\r\n"));
    assert!(!shows_prompt("Begin: Running /scripts/init-premount ... done.\r\nhost kernel: hello\r\n"));
    assert!(!shows_prompt("the host Anmeldename: is wrong\r\n"));
}

#[test]
fn knows_prompts_of_other_languages() {
    for prompt in
        ["host identifiant : ", "host имя пользователя: ", "host ログイン: ", "host inicio de sesión:"]
    {
        assert!(shows_prompt(prompt), "{prompt}");
    }
    assert!(
        shows_prompt("Devuan host.lan hvc0\r\nhost.lan Gwybodaeth mewngofnodi: "),
        "after the issue's host any word"
    );
    assert!(!shows_prompt("host Gwybodaeth: "), "of a host that was not named before");
}

#[test]
fn knows_root_shells_from_rescue_shells() {
    for prompt in ["root@host:~# ", "root@host:/etc/x#", "[root@host ~]# ", "\x1b[1mroot@host\x1b[0m:~# "] {
        assert!(shows_prompt(prompt), "{prompt}");
    }
    for shell in ["~ # ", "sh-5.2# ", "bash-5.2# ", "dracut:/# ", "mail root@host: see item #", "# "] {
        assert!(!shows_prompt(shell), "{shell}");
    }
}

#[test]
fn strips_escape_sequences_and_control_characters() {
    let text = console("[\x1b[0;32m  OK  \x1b[0m] Started \x07a\r\nb\x1b[2Jc");
    assert_eq!(text.tail(), ["[  OK  ] Started a", "b", "c"]);
}

#[test]
fn carriage_return_alone_starts_the_line_again() {
    assert_eq!(console("10 %\r20 %\r\n").tail(), ["20 %"]);
}

#[test]
fn is_bounded_whatever_comes() {
    let text = console(&format!("{}\n{}", "x".repeat(100_000), "y\n".repeat(1000)));
    assert_eq!(text.tail(), ["y"; 10]);
    assert_eq!(console(&"x".repeat(100_000)).newest_line().unwrap().len(), LINE_MAX_CHARS);
}

#[test]
fn knows_words_that_end_all_hope() {
    assert_eq!(console("SeaBIOS\r\nNo bootable device.  Retrying").fatal(), Some(FATAL[0].1));
    assert_eq!(console("[ 1.2] Kernel panic - not syncing: VFS\r\n").fatal(), Some(FATAL[1].1));
    assert_eq!(console("all is well\r\n").fatal(), None);
}

#[test]
fn newest_line_is_the_last_that_says_something() {
    assert_eq!(console("one\r\n\r\n  ").newest_line(), Some("one"));
    assert_eq!(console("one\r\ntwo").newest_line(), Some("two"));
    assert_eq!(console("").newest_line(), None);
}
