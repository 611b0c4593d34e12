//! The command line: verbs, arguments, options.

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

/// Boot caches of every VM image on every compute node.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
pub(crate) struct Cli {
    /// Where the registrar of this host listens
    #[arg(long, global = true, env = "BOOTSTASH_REGISTRAR_SOCKET", value_name = "PATH", default_value = REGISTRAR_SOCKET)]
    pub(super) registrar_socket: PathBuf,
    /// Where the agent of this host listens
    #[arg(long, global = true, env = "BOOTSTASH_AGENT_SOCKET", value_name = "PATH", default_value = AGENT_SOCKET)]
    pub(super) agent_socket: PathBuf,
    /// Where key and certificate of `join` are, for a registrar on another machine [default: ~/.config/bootstash]
    #[arg(long, global = true, env = "BOOTSTASH_IDENTITY", value_name = "DIR")]
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
    /// List the overlays made here (compute node)
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
    Doctor {
        /// What to diagnose.
        #[command(subcommand)]
        verb: DoctorVerb,
    },
    /// Check configuration files
    Config {
        /// What to do with the files.
        #[command(subcommand)]
        verb: ConfigVerb,
    },
}

/// Doctor verbs.
#[derive(Debug, Subcommand)]
pub(super) enum DoctorVerb {
    /// Test whether this node receives the registrar's multicast, and with how much loss; fails if it does not
    Multicast(ListArgs),
}

/// Overlay verbs.
#[derive(Debug, Subcommand)]
pub(super) enum OverlayVerb {
    /// Make a copy-on-write disk for one VM, chained on an image's boot cache
    Create(OverlayCreateArgs),
    /// Delete an overlay, and the view it kept where it was the last
    Remove(OverlayRemoveArgs),
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
    #[arg(long, value_name = "NODE|URL")]
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
    #[arg(value_name = "PATTERN")]
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
    #[arg(long)]
    pub(super) format: Option<ImageFormat>,
    /// Do not boot it: adopt this boot cache, which another registrar made of the same image
    #[arg(long, value_name = "FILE")]
    pub(super) cache: Option<PathBuf>,
    /// Boot it on this hardware, in turn: libvirt, openstack, libvirt-scsi; as the registrar is configured if
    /// not given
    #[arg(long = "profile", value_name = "NAME[,NAME]", conflicts_with = "cache")]
    pub(super) profiles: Option<HardwareProfiles>,
    /// Fail if the boots do not show that the cache holds all a boot reads; TRUST is high
    #[arg(long, value_name = "TRUST", value_parser = required_confidence)]
    pub(super) require: Option<Confidence>,
    /// The firmware that boots it: auto (recognised by its partition table), bios or uefi
    #[arg(long, value_parser = FirmwareChoice::parse, default_value = "auto")]
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
    #[arg(value_parser = job)]
    pub(super) job: JobId,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// `deregister`
#[derive(Debug, Args)]
pub(super) struct DeregisterArgs {
    /// The image
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

/// `overlay create`
#[derive(Debug, Args)]
pub(super) struct OverlayCreateArgs {
    /// The image to boot
    pub(super) name: ImageName,
    /// The file to make
    pub(super) path: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// `overlay remove`
#[derive(Debug, Args)]
pub(super) struct OverlayRemoveArgs {
    /// The overlay
    pub(super) path: PathBuf,
}

/// `adopt`
#[derive(Debug, Args)]
pub(super) struct AdoptArgs {
    /// The overlay, in a directory that both nodes see under the same path
    pub(super) path: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// `boot`
#[derive(Debug, Args)]
pub(super) struct BootArgs {
    /// The image
    pub(super) name: ImageName,
    /// Memory of the VM
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    pub(super) memory: u32,
    /// Virtual processors of the VM
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) cpus: u32,
    /// Hardware of the VM: libvirt, openstack or libvirt-scsi
    #[arg(long, value_name = "NAME", default_value_t = HardwareProfile::Libvirt)]
    pub(super) profile: HardwareProfile,
    /// Make the overlay at this path and leave it there
    #[arg(long, value_name = "PATH")]
    pub(super) keep: Option<PathBuf>,
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

fn window(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write it as 7d or 12h"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_bad_name_is_refused_before_any_call() {
        for name in ["../etc", "a b", "a/b", &"x".repeat(300)] {
            let error =
                Cli::try_parse_from(["bootstash", "register", name, "/a.raw"]).unwrap_err().to_string();
            assert!(error.contains("image name"), "{error}");
        }
    }

    #[test]
    fn a_registration_takes_a_cache_or_none() {
        let cache = |options: &[&str]| {
            let line = [&["bootstash", "register", "debian12", "/a.raw"], options].concat();
            let Verb::Register(args) = Cli::try_parse_from(line).unwrap().verb else {
                panic!("not register")
            };
            args.cache
        };
        assert_eq!(cache(&[]), None);
        assert_eq!(cache(&["--cache", "a/cache.qcow2"]), Some("a/cache.qcow2".into()));
    }

    #[test]
    fn firmware_is_recognised_unless_it_is_named() {
        let firmware = |options: &[&str]| {
            let line = [&["bootstash", "register", "debian12", "/a.raw"], options].concat();
            match Cli::try_parse_from(line).map_err(|error| error.to_string())?.verb {
                Verb::Register(args) => Ok(args.firmware.0),
                verb => Err(format!("{verb:?}")),
            }
        };
        assert_eq!(firmware(&[]), Ok(None));
        assert_eq!(firmware(&["--firmware", "auto"]), Ok(None));
        assert_eq!(firmware(&["--firmware", "bios"]), Ok(Some(Firmware::Bios)));
        assert_eq!(firmware(&["--firmware", "uefi"]), Ok(Some(Firmware::Uefi)));
        assert!(firmware(&["--firmware", "efi"]).unwrap_err().contains("auto, bios or uefi"));
    }

    #[test]
    fn high_confidence_alone_can_be_required() {
        let line = |trust| ["bootstash", "register", "debian12", "/a.raw", "--require", trust];
        let Verb::Register(args) = Cli::try_parse_from(line("high")).unwrap().verb else {
            panic!("not register")
        };
        assert_eq!(args.require, Some(Confidence::High));
        let error = Cli::try_parse_from(line("low")).unwrap_err().to_string();
        assert!(error.contains("only `high`"), "{error}");
    }

    #[test]
    fn a_job_is_a_number_and_who_gives_a_name_is_told_where_it_stands() {
        let cancel = |text| Cli::try_parse_from(["bootstash", "cancel", text]).map(|cli| cli.verb);
        let Ok(Verb::Cancel(args)) = cancel("17") else { panic!("not cancel") };
        assert_eq!(args.job, JobId(17));
        let error = cancel("debian12").unwrap_err().to_string();
        assert!(error.contains("'debian12'") && error.contains("`bootstash jobs`"), "{error}");
    }

    #[test]
    fn a_window_is_a_time() {
        let parsed = Cli::try_parse_from(["bootstash", "gc", "--window", "7d"]).unwrap();
        let Verb::Gc(args) = parsed.verb else { panic!("not gc") };
        assert_eq!(args.window, Some(Duration::from_secs(7 * 86400)));
        let error = Cli::try_parse_from(["bootstash", "gc", "--window", "7"]).unwrap_err().to_string();
        assert!(error.contains("write it as 7d"), "{error}");
    }
}
