//! `/etc/bootstash/registrar.toml`.

use super::MulticastConfig;
use bootstash_base::names::{DatasetName, GroupName};
use bootstash_net::download_limits::Limits;
use bootstash_qemu::{AcceleratorChoice, HardwareProfiles};
use serde::Deserialize;
use std::net::SocketAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

/// Configuration of the registrar.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistrarConfig {
    /// The ZFS file system to keep everything below, `pool/name`; made where it is missing.
    pub dataset: DatasetName,
    /// Jobs, deltas, scratch files of captures.
    #[serde(default = "state_dir")]
    pub state_dir: PathBuf,
    /// Unix socket for the command.
    #[serde(default = "socket")]
    pub socket: PathBuf,
    /// Whose members may use it besides root: to do all that root may do there.
    #[serde(default = "GroupName::root")]
    pub socket_group: GroupName,
    /// TCP address for agents and Prometheus.
    #[serde(default = "listen")]
    pub listen: SocketAddr,
    /// How long snapshots and deltas are kept.
    #[serde(default = "super::default_window", with = "humantime_serde")]
    pub window: Duration,
    /// How many snapshots are kept at most, within the window, too; but for those that something needs.
    #[serde(default = "super::default_snapshots_max")]
    pub snapshots_max: NonZeroUsize,
    /// How long a certificate counts; it is renewed when two thirds of that are over.
    #[serde(default = "certificate_lifetime", with = "humantime_serde")]
    pub certificate_lifetime: Duration,
    /// How images are booted to capture what they read.
    #[serde(default)]
    pub capture: CaptureConfig,
    /// What nodes may download at once. The only part that a running registrar reads anew.
    #[serde(default)]
    pub serving: ServingConfig,
    /// Sending to all nodes at once.
    #[serde(default)]
    pub multicast: MulticastConfig,
}

impl RegistrarConfig {
    /// Where the authority, our own key and the list of members are.
    pub fn identity_dir(&self) -> PathBuf {
        self.state_dir.join("identity")
    }
}

/// How much is served to nodes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServingConfig {
    /// Downloads at once; who asks beyond them is told to retry later, or redirected to a peer.
    pub downloads: usize,
    /// How many of them may be of a whole volume.
    pub full_streams: usize,
    /// What all downloads together may send a second; none for no limit.
    pub rate_bytes_per_second: Option<NonZeroU64>,
    /// Whether nodes are sent to a peer wherever one has what they want, not only when there are
    /// enough downloads.
    pub prefer_peers: bool,
}

impl ServingConfig {
    /// As limits.
    pub fn limits(&self) -> Limits {
        Limits {
            downloads: self.downloads,
            full: self.full_streams,
            rate_bytes_per_second: self.rate_bytes_per_second,
        }
    }
}

impl Default for ServingConfig {
    fn default() -> Self {
        Self { downloads: 16, full_streams: 2, rate_bytes_per_second: None, prefer_peers: false }
    }
}

/// How to run capture boots.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CaptureConfig {
    /// `auto`: KVM where it works, else TCG.
    pub accelerator: AcceleratorChoice,
    /// How many images are captured at once.
    pub parallel: usize,
    /// The hardware that images are booted on, in turn.
    pub profiles: HardwareProfiles,
    /// At most this number of boots for each image, and at least one on each profile.
    pub max_boots: u32,
    /// Whether nodes get an image after its first round of boots, and what later boots add when those are made.
    pub publish_early: bool,
    /// A boot that takes longer is given up.
    #[serde(with = "humantime_serde")]
    pub boot_timeout: Duration,
    /// After the boot signal: so long without a new cluster ends a boot.
    #[serde(with = "humantime_serde")]
    pub quiet: Duration,
    /// With no boot signal at all: so long without a sign of life ends the boot of a system that has shown itself, with
    /// low confidence.
    #[serde(with = "humantime_serde")]
    pub quiet_without_signal: Duration,
    /// Memory of a capture guest, in MiB.
    pub memory_mib: u32,
    /// Virtual processors of a capture guest.
    pub cpus: u32,
    /// What a capture guest may write in a boot, in MiB; it is thrown away after.
    pub overlay_mib: u32,
    /// Whether capture guests get a seed of cloud-init (NoCloud), as VMs of a cloud have metadata.
    pub seed: bool,
}

impl Default for CaptureConfig {
    fn default() -> Self {
        Self {
            accelerator: AcceleratorChoice::Auto,
            parallel: 2,
            profiles: HardwareProfiles::default(),
            max_boots: 5,
            publish_early: true,
            boot_timeout: Duration::from_secs(600),
            quiet: Duration::from_secs(10),
            quiet_without_signal: Duration::from_secs(120),
            memory_mib: 1024,
            cpus: 2,
            overlay_mib: 8192,
            seed: true,
        }
    }
}

fn state_dir() -> PathBuf {
    "/var/lib/bootstash/registrar".into()
}

fn certificate_lifetime() -> Duration {
    Duration::from_secs(90 * 86400)
}

fn socket() -> PathBuf {
    super::REGISTRAR_SOCKET.into()
}

fn listen() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 7430))
}
