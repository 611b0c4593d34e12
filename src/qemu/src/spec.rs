//! What a machine is made of, and QEMU's arguments for it. Pure.

use super::firmware::Flash;
use super::profile::{DISK, NETWORK};
use super::{Accelerator, HardwareProfile, seed};
use bootstash_disk::firmware::Firmware;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

/// Keeps a guest that breaks out of its devices from much of the kernel.
const SANDBOX: &str = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

/// A capture guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineSpec {
    /// What runs it.
    pub accelerator: Accelerator,
    /// Its devices.
    pub profile: HardwareProfile,
    /// Its memory, in MiB.
    pub memory_mib: u32,
    /// Its virtual processors.
    pub cpus: u32,
    /// How long it may run, at most. Whoever starts it ends it; this bounds what it costs should they not.
    pub time_limit: Duration,
    /// How large its overlay may grow: beyond that its writes fail.
    pub overlay_max_bytes: u64,
    /// Its disk.
    pub disk: DiskChain,
    /// What boots it.
    pub firmware: Firmware,
    /// Whether it gets a seed of cloud-init.
    pub seed: bool,
}

/// A guest's disk: the overlay takes writes, what it lacks comes from the cache where there is one,
/// what that lacks from the export. What the files' headers name is not opened. All are names in the guest's
/// [`Place`](super::Place).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskChain {
    /// A qcow2 file whose content is worth nothing after the run.
    pub overlay: &'static str,
    /// A boot cache, opened read-only.
    pub cache: Option<&'static str>,
    /// Socket of an NBD server that exports the base under the empty name.
    pub base_socket: &'static str,
}

/// A guest on the user's terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsoleSpec {
    /// What runs it.
    pub accelerator: Accelerator,
    /// Its devices.
    pub profile: HardwareProfile,
    /// Its memory, in MiB.
    pub memory_mib: u32,
    /// Its virtual processors.
    pub cpus: u32,
    /// Whether it may use the host's network, behind QEMU's own address translation.
    pub network: bool,
    /// What boots it.
    pub firmware: Firmware,
    /// What its cloud-init is to find, in a seed of its own: user data in any form that cloud-init knows.
    pub user_data: Option<Vec<u8>>,
}

// The sockets a machine connects to; we listen before it starts, so that nothing is lost or polled.
pub(super) const QMP_SOCKET: &str = "qmp";
pub(super) const SERIAL_SOCKET: &str = "serial";
pub(super) const AGENT_SOCKET: &str = "agent";

/// Arguments for a capture guest.
pub(super) fn machine_args(spec: &MachineSpec, flash: Option<&Flash>) -> Vec<OsString> {
    let mut args = platform(spec.accelerator, spec.profile, spec.memory_mib, spec.cpus);
    args.extend(flash.map(Flash::args).unwrap_or_default());
    args.extend(words(["-mon", "chardev=qmp,mode=control", "-serial", "chardev:serial"]));
    args.extend(no_network());
    for (id, name) in [("qmp", QMP_SOCKET), ("serial", SERIAL_SOCKET), ("agent", AGENT_SOCKET)] {
        args.extend(words(["-chardev", &format!("socket,id={id},path={name}")]));
    }
    for node in nodes(&spec.disk) {
        args.extend(words(["-blockdev", &node.to_string()]));
    }
    args.extend(spec.profile.devices());
    args.extend(words(["-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"]));
    args.extend(spec.profile.disk());
    args.extend(if spec.seed { seed::args(spec.profile, seed::FILE.as_ref()) } else { Vec::new() });
    args
}

/// Arguments for a guest on the terminal, whose chain opens by what its files' headers name; `seed` is where that of its
/// user data lies.
pub(super) fn console_args(
    overlay: &Path,
    spec: &ConsoleSpec,
    flash: Option<&Flash>,
    seed: Option<&Path>,
) -> Vec<OsString> {
    let mut args = platform(spec.accelerator, spec.profile, spec.memory_mib, spec.cpus);
    args.extend(flash.map(Flash::args).unwrap_or_default());
    args.extend(if spec.network { words(["-netdev", &format!("user,id={NETWORK}")]) } else { no_network() });
    args.extend(words(["-chardev", "stdio,id=terminal,mux=on,signal=off"]));
    args.extend(words(["-serial", "chardev:terminal", "-mon", "chardev=terminal,mode=readline"]));
    args.extend(words(["-blockdev", &overlay_node(overlay, None).to_string()]));
    args.extend(spec.profile.devices());
    args.extend(spec.profile.disk());
    args.extend(seed.map(|seed| seed::args(spec.profile, seed)).unwrap_or_default());
    args
}

/// A hub with a second port that nobody is attached to: the guest has a network card, and no network. What it
/// sends goes to that port and is dropped; on a hub without another port it would stay in the card's queue, over which the
/// guest complains.
fn no_network() -> Vec<OsString> {
    let port = |id: &str| format!("hubport,id={id},hubid=0");
    words(["-netdev", &port(NETWORK), "-netdev", &port("nobody")])
}

/// What every guest has, whatever its devices.
pub(super) fn platform(
    accelerator: Accelerator,
    profile: HardwareProfile,
    memory_mib: u32,
    cpus: u32,
) -> Vec<OsString> {
    let (accel, cpu) = match accelerator {
        Accelerator::Kvm => ("kvm", "host"),
        // Five-level page tables would only make each emulated page walk longer.
        Accelerator::Tcg => ("tcg,thread=multi", "max,la57=off"),
    };
    words([
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-machine",
        // The firmware's and the boot loader's words go to the serial console, too.
        &format!("{},graphics=off", profile.machine()),
        "-sandbox",
        SANDBOX,
        "-accel",
        accel,
        "-cpu",
        cpu,
        "-smp",
        &cpus.to_string(),
        "-m",
        &format!("{memory_mib}M"),
    ])
}

fn nodes(disk: &DiskChain) -> Vec<Value> {
    let mut nodes = vec![json!({
        "driver": "nbd", "node-name": "base", "read-only": true,
        "server": { "type": "unix", "path": disk.base_socket },
    })];
    let mut backing = "base";
    if let Some(cache) = disk.cache {
        nodes.push(json!({
            "driver": "qcow2", "node-name": "cache", "read-only": true, "backing": backing,
            "file": { "driver": "file", "filename": cache, "read-only": true },
        }));
        backing = "cache";
    }
    nodes.push(overlay_node(Path::new(disk.overlay), Some(backing)));
    nodes
}

fn overlay_node(overlay: &Path, backing: Option<&str>) -> Value {
    let mut node = json!({
        "driver": "qcow2", "node-name": DISK, "discard": "unmap",
        "file": { "driver": "file", "filename": overlay.to_string_lossy(), "discard": "unmap" },
    });
    if let Some(backing) = backing {
        node["backing"] = backing.into();
        // A capture's overlay is thrown away: what the guest flushes need not reach the disk.
        node["cache"] = json!({ "no-flush": true });
    }
    node
}

fn words<const N: usize>(words: [&str; N]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(cache: Option<&'static str>) -> MachineSpec {
        MachineSpec {
            accelerator: Accelerator::Tcg,
            profile: HardwareProfile::Libvirt,
            memory_mib: 512,
            cpus: 2,
            time_limit: Duration::from_secs(60),
            overlay_max_bytes: 1 << 30,
            disk: DiskChain { overlay: "overlay", cache, base_socket: "base" },
            firmware: Firmware::Bios,
            seed: false,
        }
    }

    fn args(cache: Option<&'static str>) -> Vec<String> {
        let args = machine_args(&spec(cache), None);
        args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect()
    }

    fn nodes_of(args: &[String]) -> Vec<Value> {
        let pairs = args.windows(2).filter(|pair| pair[0] == "-blockdev");
        pairs.map(|pair| serde_json::from_str(&pair[1]).unwrap()).collect()
    }

    fn has(args: &[String], option: &str, value: &str) -> bool {
        args.windows(2).any(|pair| pair == [option, value])
    }

    #[test]
    fn guest_is_sandboxed_and_has_a_network_card_without_a_network() {
        let args = args(None);
        assert!(has(&args, "-sandbox", SANDBOX));
        let mut pairs =
            args.windows(2).filter(|pair| ["-netdev", "-nic", "-net"].contains(&pair[0].as_str()));
        assert!(pairs.clone().count() == 2 && pairs.all(|pair| pair[1].ends_with(",hubid=0")), "{args:?}");
        assert!(has(&args, "-m", "512M") && has(&args, "-smp", "2"));
        assert!(args.contains(&"-nodefaults".to_owned()));
    }

    #[test]
    fn chain_is_explicit_and_only_the_overlay_can_be_written() {
        let nodes = nodes_of(&args(Some("cache")));
        let names: Vec<_> = nodes.iter().map(|node| node["node-name"].as_str().unwrap()).collect();
        assert_eq!(names, ["base", "cache", "overlay"]);
        assert_eq!((&nodes[1]["backing"], &nodes[2]["backing"]), (&"base".into(), &"cache".into()));
        assert_eq!((&nodes[0]["read-only"], &nodes[1]["read-only"]), (&true.into(), &true.into()));
    }

    #[test]
    fn first_boot_reads_straight_from_the_base() {
        let nodes = nodes_of(&args(None));
        assert_eq!((nodes.len(), &nodes[1]["backing"]), (2, &"base".into()));
    }

    #[test]
    fn guest_is_given_names_and_no_paths() {
        let spec = MachineSpec { seed: true, ..spec(Some("cache")) };
        let args: Vec<_> =
            machine_args(&spec, None).iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
        assert!(has(&args, "-chardev", "socket,id=qmp,path=qmp"));
        assert!(!args.iter().any(|arg| arg.contains('/')), "{args:?}");
    }

    #[test]
    fn terminal_guest_follows_the_overlays_own_header() {
        let spec = ConsoleSpec {
            accelerator: Accelerator::Kvm,
            profile: HardwareProfile::OpenStack,
            memory_mib: 1024,
            cpus: 1,
            network: false,
            firmware: Firmware::Bios,
            user_data: None,
        };
        let args = |seed| -> Vec<String> {
            let args = console_args(Path::new("/a.qcow2"), &spec, None, seed);
            args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect()
        };
        assert_eq!(nodes_of(&args(Some(Path::new("/s/seed"))))[1]["file"]["filename"], "/s/seed");
        let args = args(None);
        assert_eq!(nodes_of(&args).len(), 1);
        assert!(nodes_of(&args)[0].get("backing").is_none());
        assert!(
            has(&args, "-machine", "pc,graphics=off")
                && has(&args, "-accel", "kvm")
                && has(&args, "-cpu", "host")
        );
        assert!(has(&args, "-chardev", "stdio,id=terminal,mux=on,signal=off"));
    }
}
