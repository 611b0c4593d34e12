//! The command line: verbs, arguments, options.

mod overlay;
#[cfg(test)]
mod tests;

pub(super) use overlay::{
    AdoptArgs, OverlayCreateArgs, OverlayRemoveArgs, OverlayVerb, PinArgs, UnpinArgs, WhichImage,
};

use super::completion::{self, Known, one_of};
use super::daemons::{AGENT_SOCKET_VARIABLE, IDENTITY_VARIABLE, REGISTRAR_SOCKET_VARIABLE};
use super::libvirt::arguments::{DoctorLibvirtArgs, HookVerb};
use bootstash_base::names::ImageName;
use bootstash_daemon::config::{AGENT_SOCKET, ConfigKind, REGISTRAR_SOCKET};
use bootstash_delta::catalog::Confidence;
use bootstash_disk::ImageFormat;
use bootstash_disk::firmware::Firmware;
use bootstash_net::api::{ImagePattern, JobId};
use bootstash_qemu::{HardwareProfile, HardwareProfiles};
use clap::{Args, Parser, Subcommand};
use humantime_serde::re::humantime;
use std::path::PathBuf;
use std::time::Duration;

/// Names of hardware profiles, for completion.
const PROFILES: &[&str] = &["libvirt", "openstack", "libvirt-scsi"];
const SHORTEST_INTERVAL: Duration = Duration::from_millis(500);
const LONGEST_INTERVAL: Duration = Duration::from_secs(3600);

/// Boot caches of every VM image on every compute node
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
pub(crate) struct Cli {
    /// Where the registrar of this host listens
    #[arg(long, global = true, display_order = 900, env = REGISTRAR_SOCKET_VARIABLE, value_name = "PATH", default_value = REGISTRAR_SOCKET)]
    pub(super) registrar_socket: PathBuf,
    /// Where the agent of this host listens
    #[arg(long, global = true, display_order = 900, env = AGENT_SOCKET_VARIABLE, value_name = "PATH", default_value = AGENT_SOCKET)]
    pub(super) agent_socket: PathBuf,
    /// Where key and certificate of `join` are, for a registrar on another machine [default: ~/.config/bootstash]
    #[arg(long, global = true, display_order = 900, env = IDENTITY_VARIABLE, value_name = "DIR")]
    pub(super) identity: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub(super) verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Capture an image's boot cache and hand it to every node (storage node)
    ///
    /// Ctrl-C asks whether to cancel the registration or to leave it running. Without a terminal, or with --json, it is
    /// left running: the same `bootstash register` follows it again, `bootstash cancel JOB` cancels it.
    Register(RegisterArgs),
    /// Cancel a registration that is under way; nothing of it is left (storage node)
    Cancel(CancelArgs),
    /// Remove an image from the cache volume; its base is left alone (storage node)
    Deregister(DeregisterArgs),
    /// List the registered images, or those this node holds
    Images(ImagesArgs),
    /// List the compute nodes and how far behind they are (storage node)
    Nodes(NodesArgs),
    /// Show the daemons of this host and their volumes
    Status(ListArgs),
    /// List registrations, under way and done (storage node)
    Jobs(ListArgs),
    /// Show nodes, registrations and volumes on this terminal, live
    ///
    /// Ends with q. Where there is no terminal, --once prints everything once.
    Top(TopArgs),
    /// Show images, nodes, registrations and volumes in a browser, live
    ///
    /// Serves one page on loopback until ctrl-C, to whoever opens the link first; the link counts once. From another
    /// machine, forward the port: `ssh -L 7433:127.0.0.1:7433 HOST bootstash dashboard --port 7433`.
    Dashboard(DashboardArgs),
    /// Destroy snapshots that are older than the window and not in use
    Gc(GcArgs),
    /// Make or remove an overlay (compute node)
    Overlay {
        /// Create or remove.
        #[command(subcommand)]
        verb: OverlayVerb,
    },
    /// Take on an overlay that another node made, so that its VM can start here (compute node)
    Adopt(AdoptArgs),
    /// Hold the boot cache of a disk's image for a disk that somebody else made (compute node)
    ///
    /// The cache stays on this node until `unpin`. It is used once the disk's lowest overlay is chained onto it.
    Pin(PinArgs),
    /// Let go of a disk's boot cache again (compute node)
    Unpin(UnpinArgs),
    /// List the overlays made here, and the disks pinned (compute node)
    Overlays(ListArgs),
    /// Boot an image on this terminal, from a throw-away overlay (compute node)
    Boot(BootArgs),
    /// Invite and expel compute nodes (storage node)
    Node {
        /// Invite or expel.
        #[command(subcommand)]
        verb: MemberVerb,
    },
    /// Invite and expel people who work from other machines (storage node)
    Operator {
        /// Invite or expel.
        #[command(subcommand)]
        verb: MemberVerb,
    },
    /// Invite and expel programs that read metrics (storage node)
    Monitor {
        /// Invite or expel.
        #[command(subcommand)]
        verb: MemberVerb,
    },
    /// List nodes, operators and monitors with a valid certificate (storage node)
    Members(ListArgs),
    /// Join a registrar on another machine; commands use it from then on
    Join(JoinArgs),
    /// Renew the certificate of `join` if it is due; other commands do this, too
    Renew,
    /// Restore a lost cache volume (storage node)
    Volume {
        /// What to do with the volume.
        #[command(subcommand)]
        verb: VolumeVerb,
    },
    /// Diagnose this node, and say what to do (compute node)
    #[command(subcommand)]
    Doctor(DoctorVerb),
    /// Check configuration files
    Config {
        /// What to do with the files.
        #[command(subcommand)]
        verb: ConfigVerb,
    },
    /// What other programs call when something happens
    #[command(subcommand, hide = true)]
    Hook(HookVerb),
    /// Write the man pages into a directory (for packages)
    #[command(hide = true)]
    ManPages(DirectoryArgs),
    /// Write the completions of bash, zsh and fish into a directory (for packages)
    #[command(hide = true)]
    Completions(DirectoryArgs),
}

/// Doctor verbs.
#[derive(Debug, Subcommand)]
pub(super) enum DoctorVerb {
    /// Test whether this node receives the registrar's multicast, and with how much loss; fails if it does not
    Multicast(ListArgs),
    /// Show which disks of libvirt's domains start from a boot cache, and why others do not; fails if there are any
    Libvirt(DoctorLibvirtArgs),
}

/// Member verbs.
#[derive(Debug, Subcommand)]
pub(super) enum MemberVerb {
    /// Print the join command with a token that is valid once and for a limited time
    Invite(InviteArgs),
    /// Revoke all certificates, at once
    Expel(ExpelArgs),
}

/// `node invite`
#[derive(Debug, Args)]
pub(super) struct InviteArgs {
    /// The name to join under
    pub(super) name: String,
    /// How long the token is valid, as 1h or 2d
    #[arg(long = "for", value_name = "TIME", value_parser = window, default_value = "1h")]
    pub(super) lifetime: Duration,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// `node expel`
#[derive(Debug, Args)]
pub(super) struct ExpelArgs {
    /// The name it joined under
    #[arg(add = completion::of(Known::Members))]
    pub(super) name: String,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// `join`
#[derive(Debug, Args)]
pub(super) struct JoinArgs {
    /// The registrar, as https://storage:7430
    pub(super) url: String,
    /// The token; read from standard input if not given, where other users do not see it
    pub(super) token: Option<String>,
}

/// Volume verbs.
#[derive(Debug, Subcommand)]
pub(super) enum VolumeVerb {
    /// Fetch all images from a node, into a registrar's volume that is empty
    Restore(RestoreArgs),
}

/// `volume restore`
#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    /// A node known to the registrar, or the URL a node serves peers at: https://HOST:7432
    #[arg(long, value_name = "NODE|URL", add = completion::of(Known::Nodes))]
    pub(super) from: String,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Configuration verbs.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigVerb {
    /// Say whether a daemon would accept a configuration file
    Check(ConfigCheckArgs),
}

/// `images`
#[derive(Clone, Debug, Args)]
pub(super) struct ImagesArgs {
    /// Only images whose names match, as a shell matches names of files ('debian*')
    #[arg(value_name = "PATTERN", add = completion::of(Known::Images))]
    pub(super) pattern: Option<ImagePattern>,
    /// No more than so many, in order of name
    #[arg(long, value_name = "COUNT")]
    pub(super) limit: Option<usize>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// How a list is printed.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct ListArgs {
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// `nodes`
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct NodesArgs {
    /// List those that were expelled, too
    #[arg(long)]
    pub(super) all: bool,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// `register`
#[derive(Debug, Args)]
pub(super) struct RegisterArgs {
    /// Name to give the image
    pub(super) name: ImageName,
    /// The image file, at the path every node sees it under
    pub(super) source: PathBuf,
    /// Its format: raw, qcow2, vmdk, vdi, vhdx or vpc; detected where not given
    #[arg(long, add = one_of(&["raw", "qcow2", "vmdk", "vdi", "vhdx", "vpc"]))]
    pub(super) format: Option<ImageFormat>,
    /// Do not boot it: adopt this boot cache, which another registrar made of the same image
    #[arg(long, value_name = "FILE")]
    pub(super) cache: Option<PathBuf>,
    /// Boot it on this hardware, in turn: libvirt, openstack, libvirt-scsi; as the registrar is configured if
    /// not given
    #[arg(long = "profile", value_name = "NAME[,NAME]", conflicts_with = "cache", add = one_of(PROFILES))]
    pub(super) profiles: Option<HardwareProfiles>,
    /// Fail if the boots do not show that the cache holds all a boot reads; TRUST is high
    #[arg(long, value_name = "TRUST", value_parser = required_confidence, add = one_of(&["high"]))]
    pub(super) require: Option<Confidence>,
    /// Give it to the nodes once all its boots are made, and not after the first ones
    #[arg(long, conflicts_with = "cache")]
    pub(super) complete: bool,
    /// The firmware that boots it: auto (recognised by its partition table), bios or uefi
    #[arg(long, value_parser = FirmwareChoice::parse, default_value = "auto", add = one_of(&["auto", "bios", "uefi"]))]
    pub(super) firmware: FirmwareChoice,
    /// Boot it without a seed of cloud-init, which it otherwise gets as its metadata
    #[arg(long)]
    pub(super) no_seed: bool,
    /// Print each change as a JSON object on a line
    #[arg(long)]
    pub(super) json: bool,
    /// Return once the registration is under way
    #[arg(long)]
    pub(super) detach: bool,
}

/// `cancel`
#[derive(Debug, Args)]
pub(super) struct CancelArgs {
    /// Its number, as `bootstash jobs` shows it
    #[arg(value_parser = job, add = completion::of(Known::Jobs))]
    pub(super) job: JobId,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// `deregister`
#[derive(Debug, Args)]
pub(super) struct DeregisterArgs {
    /// The image
    #[arg(add = completion::of(Known::Images))]
    pub(super) name: ImageName,
    /// Tell the nodes now, not with the next registration
    #[arg(long)]
    pub(super) publish: bool,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// `gc`
#[derive(Debug, Args)]
pub(super) struct GcArgs {
    /// Only print what would be destroyed
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Keep snapshots younger than this, as 7d or 12h; the daemons' own window if not given
    #[arg(long, value_parser = window)]
    pub(super) window: Option<Duration>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// `boot`
#[derive(Debug, Args)]
pub(super) struct BootArgs {
    /// The image
    #[arg(add = completion::of(Known::Images))]
    pub(super) name: ImageName,
    /// Memory of the VM
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    pub(super) memory: u32,
    /// Virtual processors of the VM
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) cpus: u32,
    /// Hardware of the VM: libvirt, openstack or libvirt-scsi
    #[arg(long, value_name = "NAME", default_value_t = HardwareProfile::Libvirt, add = one_of(PROFILES))]
    pub(super) profile: HardwareProfile,
    /// Make the overlay at this path and leave it there
    #[arg(long, value_name = "PATH")]
    pub(super) keep: Option<PathBuf>,
    /// Have the VM's cloud-init find this: user data, as `#cloud-config` or a script
    #[arg(long, value_name = "FILE")]
    pub(super) user_data: Option<PathBuf>,
}

/// `top`
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct TopArgs {
    /// Print everything once and end
    #[arg(long)]
    pub(super) once: bool,
    /// How often to ask the daemons, as 2s or 1min
    #[arg(long, value_name = "TIME", value_parser = interval, default_value = "2s", conflicts_with = "once")]
    pub(super) interval: Duration,
    /// Print JSON, once
    #[arg(long)]
    pub(super) json: bool,
}

/// `dashboard`
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct DashboardArgs {
    /// The TCP port on loopback; any that is free if not given
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    pub(super) port: u16,
    /// How often to ask the daemons, as 2s or 1min
    #[arg(long, value_name = "TIME", value_parser = interval, default_value = "2s")]
    pub(super) interval: Duration,
}

/// `man-pages`, `completions`
#[derive(Debug, Args)]
pub(super) struct DirectoryArgs {
    /// The directory, which is made if it is missing
    pub(super) directory: PathBuf,
}

/// `config check`
#[derive(Debug, Args)]
pub(super) struct ConfigCheckArgs {
    /// The file
    pub(super) file: PathBuf,
    /// Whose configuration it is; told by its keys where not given
    #[arg(long)]
    pub(super) kind: Option<ConfigKind>,
}

/// `--firmware`; none is recognised by what the image is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FirmwareChoice(pub(super) Option<Firmware>);

impl FirmwareChoice {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self(None)),
            "bios" => Ok(Self(Some(Firmware::Bios))),
            "uefi" => Ok(Self(Some(Firmware::Uefi))),
            _ => Err("use auto, bios or uefi".to_owned()),
        }
    }
}

fn job(text: &str) -> Result<JobId, String> {
    text.parse()
        .map(JobId)
        .map_err(|_| "give the number of a registration; `bootstash jobs` lists them".to_owned())
}

fn required_confidence(text: &str) -> Result<Confidence, String> {
    match text {
        "high" => Ok(Confidence::High),
        _ => Err("only `high` can be required; without --require any confidence does".to_owned()),
    }
}

/// Often enough to look live, and no more often than daemons should be asked.
fn interval(text: &str) -> Result<Duration, String> {
    let interval =
        humantime::parse_duration(text).map_err(|error| format!("{error}; write it as 2s or 1min"))?;
    match (SHORTEST_INTERVAL..=LONGEST_INTERVAL).contains(&interval) {
        true => Ok(interval),
        false => Err("use a time from 500ms to 1h".to_owned()),
    }
}

fn window(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write it as 7d or 12h"))
}
