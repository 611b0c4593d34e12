//! What the packages install: systemd accepts the units, and they do what the daemons rely on.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const UNITS: [&str; 4] =
    ["bootstash-registrar.service", "bootstash-agent.service", "bootstash-gc.service", "bootstash-gc.timer"];
/// What gives a service a mount namespace, in which ZFS mounts would be hidden from the host.
const NAMESPACES: [&str; 33] = [
    "BindPaths",
    "BindReadOnlyPaths",
    "DynamicUser",
    "ExecPaths",
    "ExtensionDirectories",
    "ExtensionImages",
    "IPCNamespacePath",
    "InaccessiblePaths",
    "LogNamespace",
    "MountAPIVFS",
    "MountFlags",
    "MountImages",
    "NetworkNamespacePath",
    "NoExecPaths",
    "PrivateDevices",
    "PrivateIPC",
    "PrivateMounts",
    "PrivateNetwork",
    "PrivateTmp",
    "PrivateUsers",
    "ProcSubset",
    "ProtectControlGroups",
    "ProtectHome",
    "ProtectKernelLogs",
    "ProtectKernelModules",
    "ProtectKernelTunables",
    "ProtectProc",
    "ProtectSystem",
    "ReadOnlyPaths",
    "ReadWritePaths",
    "RootDirectory",
    "RootImage",
    "TemporaryFileSystem",
];
/// How exposed each service is, from 0 to 10, as systemd of [`SCORED_BY`] says. A change that makes it better
/// is to be recorded here, so that no later one takes it back.
const EXPOSURE: [(&str, f64); 3] =
    [("bootstash-registrar.service", 4.9), ("bootstash-agent.service", 4.8), ("bootstash-gc.service", 0.9)];
/// Other versions weigh things somewhat differently.
const SCORED_BY: &str = "systemd 252 ";

/// Set where a test that cannot run has failed.
const NOTHING_SKIPPED: &str = "BOOTSTASH_NOTHING_SKIPPED";

fn packaging() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging")
}

fn unit(name: &str) -> String {
    std::fs::read_to_string(packaging().join(name)).unwrap()
}

fn has_line(unit_text: &str, line: &str) -> bool {
    unit_text.lines().any(|have| have == line)
}

/// The units in a directory of their own, with programs that exist in place of the installed ones.
fn copy_with_programs(dir: &Path) -> Vec<PathBuf> {
    let bin = dir.join("bin");
    std::fs::create_dir(&bin).unwrap();
    for program in ["bootstash", "bootstash-registrar", "bootstash-agent"] {
        symlink("/bin/true", bin.join(program)).unwrap();
    }
    let copy = |name: &&str| {
        let path = dir.join(name);
        let text = unit(name);
        std::fs::write(&path, text.replace("/usr/bin/", &format!("{}/", bin.display()))).unwrap();
        path
    };
    UNITS.iter().map(copy).collect()
}

/// None where there is no systemd, unless the environment says that nothing may be left out.
fn run(command: &mut Command) -> Option<Output> {
    match command.output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == ErrorKind::NotFound && std::env::var_os(NOTHING_SKIPPED).is_none() => {
            eprintln!("skipped: there is no {:?} on this host", command.get_program());
            None
        }
        Err(error) => panic!("cannot run {:?}: {error}", command.get_program()),
    }
}

fn exposure(unit: &str) -> Option<f64> {
    let mut security = Command::new("systemd-analyze");
    security.args(["security", "--no-pager", "--offline=true"]).arg(packaging().join(unit));
    let said = String::from_utf8(run(&mut security)?.stdout).unwrap();
    let score = said.split_once(&format!("exposure level for {unit}: "));
    let Some((_, score)) = score else { panic!("no score in: {said}") };
    Some(score.split_whitespace().next().unwrap().parse().unwrap())
}

#[test]
fn no_service_is_more_exposed_than_recorded() {
    let Some(version) = run(Command::new("systemd-analyze").arg("--version")) else { return };
    let other = if version.stdout.starts_with(SCORED_BY.as_bytes()) { 0.0 } else { 0.5 };
    for (unit, recorded) in EXPOSURE {
        let found = exposure(unit).unwrap();
        assert!(found <= recorded + other, "{unit} is exposed to {found}, more than {recorded} as recorded");
        assert!(
            found >= recorded - 0.2 - other,
            "{unit} is down to {found}: record it in place of {recorded}"
        );
    }
}

#[test]
fn systemd_accepts_the_units() {
    let dir = tempfile::tempdir().unwrap();
    let units = copy_with_programs(dir.path());
    let mut verify = Command::new("systemd-analyze");
    verify
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .args(&units)
        .env("SYSTEMD_LOG_LEVEL", "warning");
    let Some(output) = run(&mut verify) else { return };
    let said = String::from_utf8_lossy(&output.stderr);
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("bootstash")).collect();
    assert!(output.status.success() && ours.is_empty(), "{said}");
}

#[test]
fn daemons_mount_where_the_host_sees_it() {
    for name in ["bootstash-registrar.service", "bootstash-agent.service"] {
        let text = unit(name);
        for key in NAMESPACES {
            let set = text.lines().find(|line| line.starts_with(&format!("{key}=")));
            assert!(set.is_none(), "{name} has {set:?}");
        }
    }
}

#[test]
fn one_daemons_end_leaves_vms_and_the_other_daemon_alone() {
    assert!(has_line(&unit("bootstash-agent.service"), "KillMode=process"));
    for name in ["bootstash-registrar.service", "bootstash-agent.service"] {
        assert!(has_line(&unit(name), "RuntimeDirectoryPreserve=yes"), "{name}");
    }
}

#[test]
fn the_group_that_the_agents_socket_belongs_to_is_made() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("etc")).unwrap();
    let mut make = Command::new("systemd-sysusers");
    make.arg("--root").arg(root.path()).arg(packaging().join("bootstash.sysusers"));
    let Some(made) = run(&mut make) else { return };
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let groups = std::fs::read_to_string(root.path().join("etc/group")).unwrap();
    assert!(groups.lines().any(|group| group.starts_with("bootstash:")), "{groups}");
}

#[test]
fn reloading_the_registrar_sends_it_the_signal_it_listens_for() {
    assert!(has_line(&unit("bootstash-registrar.service"), "ExecReload=/bin/kill -HUP $MAINPID"));
}

#[test]
fn collecting_happens_daily_and_is_made_up_for() {
    let timer = unit("bootstash-gc.timer");
    for line in ["OnCalendar=daily", "Persistent=yes"] {
        assert!(has_line(&timer, line), "no {line}");
    }
}

#[test]
fn a_daemon_says_when_it_is_ready_and_comes_back_however_it_ends() {
    for name in ["bootstash-registrar.service", "bootstash-agent.service"] {
        for line in ["Type=notify", "WatchdogSec=60s", "Restart=always", "OOMPolicy=continue"] {
            assert!(has_line(&unit(name), line), "{name} lacks {line}");
        }
        let identity = "ConditionPathExists=/var/lib/bootstash/";
        assert!(unit(name).contains(identity), "{name} is started where nothing is configured");
    }
}

#[test]
fn vms_find_their_views_and_wait_for_no_network() {
    let agent = unit("bootstash-agent.service");
    assert!(has_line(&agent, "Before=libvirtd.service virtqemud.service libvirt-guests.service"));
    for name in UNITS {
        let waits =
            unit(name).lines().any(|line| !line.starts_with('#') && line.contains("network-online.target"));
        assert!(!waits, "{name} waits for the network");
    }
}

#[test]
fn as_many_files_may_be_open_as_connections_are_served() {
    let connections = bootstash_net::server::MOST_CONNECTIONS;
    for name in ["bootstash-registrar.service", "bootstash-agent.service"] {
        let text = unit(name);
        let limit = text.lines().find_map(|line| line.strip_prefix("LimitNOFILE=")).unwrap();
        assert!(
            limit.parse::<usize>().unwrap() > 2 * connections + 1024,
            "{name}: {limit} for {connections}"
        );
    }
}

/// libvirt's hook, with `bootstash` and `logger` as given.
fn hook_with(bootstash: Option<&str>, operation: &str) -> (bool, String) {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    };
    let logged = dir.path().join("logged");
    write("logger", &format!("/bin/cat >{}", logged.display()));
    bootstash.iter().for_each(|text| write("bootstash", text));
    let mut hook = Command::new("/bin/sh");
    hook.arg(packaging().join("libvirt-hook")).args(["vm 1", operation, "begin", "-"]);
    let output = hook.env("PATH", dir.path()).output().unwrap();
    assert!(output.stdout.is_empty(), "{output:?}");
    (output.status.success(), std::fs::read_to_string(logged).unwrap_or_default())
}

#[test]
fn the_hook_of_libvirt_lets_vms_start_whatever_happens() {
    let fails = "echo out; echo \"$# $3\" >&2; exit 3";
    assert_eq!(hook_with(Some(fails), "prepare"), (true, "6 vm 1\n".to_owned()));
    assert_eq!(hook_with(Some("kill -9 $$"), "release"), (true, String::new()));
    // Where the package was removed and its configuration stayed.
    assert_eq!(hook_with(None, "prepare"), (true, String::new()));
    assert_eq!(hook_with(Some(fails), "started"), (true, String::new()));
}
