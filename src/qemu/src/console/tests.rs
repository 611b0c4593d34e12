use super::*;
use proptest::prelude::*;

/// Consoles as guests print them, each with whether it shows a prompt and what is fatal in it.
const RECORDED: [(&str, bool, Option<Fatal>); 9] = [
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
    ("\x1b[2J\x1b[01;01HGRUB\x1b[5dgrub rescue> ", false, Some(Fatal::GrubRescue)),
    (
        "[    2.3] Kernel panic - not syncing: VFS: Unable to mount root fs\r\n",
        false,
        Some(Fatal::KernelPanic),
    ),
    ("You are in emergency mode. After logging in, type\r\nroot@host:~# ", false, Some(Fatal::EmergencyMode)),
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
    assert_eq!(console("SeaBIOS\r\nNo bootable device.  Retrying").fatal(), Some(Fatal::NothingToBoot));
    assert_eq!(console("[ 1.2] Kernel panic - not syncing: VFS\r\n").fatal(), Some(Fatal::KernelPanic));
    assert_eq!(console("all is well\r\n").fatal(), None);
}

#[test]
fn newest_line_is_the_last_that_says_something() {
    assert_eq!(console("one\r\n\r\n  ").newest_line(), Some("one"));
    assert_eq!(console("one\r\ntwo").newest_line(), Some("two"));
    assert_eq!(console("").newest_line(), None);
}

/// The ends of consoles of systems that wait for a person, each as its program prints it.
const RESCUE_SHELLS: [(&str, Fatal); 22] = [
    // initramfs-tools
    (
        "Gave up waiting for root file system device.  Common problems:\r\n - Boot args (cat /proc/cmdline)\r\n\
         ALERT!  UUID=0-1 does not exist.  Dropping to a shell!\r\n\r\n",
        Fatal::InitialRamDisk,
    ),
    ("BusyBox v1.35.0 (Debian 1:1.35.0-4) built-in shell (ash)\r\n\r\n(initramfs) ", Fatal::InitialRamDisk),
    // dracut, with systemd and without, and Fedora CoreOS
    (
        "Generating \"/run/initramfs/rdsosreport.txt\"\r\n\r\nEntering emergency mode. Exit the shell to continue.\r\n",
        Fatal::InitialRamDisk,
    ),
    ("Type \"journalctl\" to view system logs.\r\n\r\ndracut:/# ", Fatal::InitialRamDisk),
    ("\x1b[?2004hdracut:/root# ", Fatal::InitialRamDisk),
    ("Press Enter for emergency shell or wait 5 minutes for reboot.      \r", Fatal::InitialRamDisk),
    // Alpine
    (
        "mount: mounting /dev/vda9 on /sysroot failed: No such file or directory\r\nMounting root: failed. \r\n\
         initramfs emergency recovery shell launched. Type 'exit' to continue boot\r\n\
         sh: can't access tty; job control turned off\r\n~ # ",
        Fatal::InitialRamDisk,
    ),
    // mkinitcpio
    (
        "ERROR: Failed to mount 'UUID=0-1' on real root\r\nYou are now being dropped into an emergency shell.\r\n",
        Fatal::InitialRamDisk,
    ),
    ("sh: can't access tty; job control turned off\r\n[rootfs ~]# ", Fatal::InitialRamDisk),
    ("sh: can't access tty; job control turned off\r\n[rootfs ]# ", Fatal::InitialRamDisk),
    // NixOS
    (
        "An error occurred in stage 1 of the boot process, which must mount the\r\n\
         root filesystem on `/mnt-root' and then start stage 2.  Press one\r\nof the following keys:\r\n",
        Fatal::InitialRamDisk,
    ),
    // systemd and sulogin
    ("You are in rescue mode. After logging in, type \"journalctl -xb\" to view\r\n", Fatal::EmergencyMode),
    (
        "Welcome to emergency mode! After logging in, type \"journalctl -xb\" to view\r\n",
        Fatal::EmergencyMode,
    ),
    ("Give root password for maintenance\r\n(or press Control-D to continue): ", Fatal::EmergencyMode),
    ("Press Enter for maintenance\r\n(or press Control-D to continue): ", Fatal::EmergencyMode),
    (
        "Cannot open access to console, the root account is locked.\r\nSee sulogin(8) man page for more details.\r\n",
        Fatal::EmergencyMode,
    ),
    // boot loaders and firmware
    (
        "   Minimal BASH-like line editing is supported. For the first word, TAB\r\n\x1b[5;3Hgrub> ",
        Fatal::GrubShell,
    ),
    ("error: unknown filesystem.\r\nEntering rescue mode...\r\ngrub rescue> ", Fatal::GrubRescue),
    ("\r\nNo DEFAULT or UI configuration directive found!\r\nboot: ", Fatal::GrubShell),
    ("BdsDxe: No bootable option or device was found.\r\n", Fatal::NothingToBoot),
    ("Missing operating system.", Fatal::NothingToBoot),
    // FreeBSD
    ("Loader variables:\r\n\r\nmountroot> ", Fatal::NoRoot),
];

#[test]
fn knows_who_waits_for_a_person() {
    for (text, fatal) in RESCUE_SHELLS {
        assert_eq!(console(text).fatal(), Some(fatal), "{text}");
        assert!(!shows_prompt(text), "{text}");
    }
}

#[test]
fn what_a_good_boot_says_of_its_initial_ram_disk_is_not_fatal() {
    for text in [
        "Welcome to Fedora Linux 40 (Cloud Edition) dracut-059-22.fc40 (Initramfs)!\r\n",
        "[    2.1] Run /init as init process\r\nLoading, please wait...\r\nBegin: Mounting root file system ... \r\n",
        "[  OK  ] Started emergency.service - Emergency Shell of another kind\r\n",
        "Press `ESC' to enter the menu... 3   GNU GRUB  version 2.06\r\n",
        "<<< NixOS Stage 1 >>>\r\nstarting device mapper and LVM...\r\n",
        "[root@archlinux ~]# ",
    ] {
        assert_eq!(console(text).fatal(), None, "{text}");
    }
}

#[test]
fn knows_a_running_system_from_its_initial_ram_disk() {
    for text in [
        "[\x1b[0;32m  OK  \x1b[0m] Reached target \x1b[0;1;39mmulti-user.target\x1b[0m - Multi-User System.\r\n",
        "[  OK  ] Reached target Login Prompts.\r\n",
        "INIT: Entering runlevel: 2\r\n",
        "   OpenRC 0.54 is starting up Linux 6.6.41-0-virt (x86_64)\r\n",
    ] {
        assert!(console(text).shows_a_running_system(), "{text}");
    }
    for text in [
        "[  OK  ] Reached target initrd-root-fs.target - Initrd Root File System.\r\n",
        "[  OK  ] Reached target basic.target - Basic System.\r\n",
        "[    0.0] Linux version 6.1.0\r\n",
    ] {
        assert!(!console(text).shows_a_running_system(), "{text}");
    }
}

#[test]
fn a_restart_takes_back_what_was_said_and_keeps_the_lines() {
    let mut text = console("Kernel panic - not syncing: VFS\r\nhost login: ");
    assert!(text.fatal().is_some() && text.login_prompt());
    text.restart();
    assert!(text.fatal().is_none() && !text.login_prompt());
    assert_eq!(text.tail(), ["Kernel panic - not syncing: VFS", "host login:"]);
}
