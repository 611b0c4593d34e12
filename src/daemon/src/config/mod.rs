//! The daemons' configuration files (TOML). An unknown key is an error.

mod agent;
mod check;
#[cfg(test)]
mod examples;
mod kind;
mod load;
mod multicast;
mod registrar;
#[cfg(test)]
mod tests;

pub use agent::{AgentConfig, PeersConfig};
pub use kind::ConfigKind;
pub use load::{ConfigError, ConfigFile, ParseProblem, load_agent, load_any, load_registrar};
pub use multicast::{MulticastConfig, MulticastReceiverConfig};
pub use registrar::{CaptureConfig, RegistrarConfig, ServingConfig};

use std::num::NonZeroUsize;
use std::time::Duration;

/// Where the registrar listens for the command.
pub const REGISTRAR_SOCKET: &str = "/run/bootstash/registrar.sock";
/// Where an agent listens for the command.
pub const AGENT_SOCKET: &str = "/run/bootstash/agent.sock";

/// At ten registrations a day, some weeks.
const SNAPSHOTS_MAX: usize = 200;

fn default_snapshots_max() -> NonZeroUsize {
    NonZeroUsize::new(SNAPSHOTS_MAX).unwrap_or(NonZeroUsize::MIN)
}

fn default_window() -> Duration {
    Duration::from_secs(7 * 24 * 3600)
}
