//! Which group to receive from, on which interface; and the membership between sessions, so that switches know.

use bootstash_base::error::Chain;
use bootstash_daemon::config::MulticastReceiverConfig;
use bootstash_multicast::Group;
use bootstash_multicast::socket::{Interface, InterfaceError, Joined};
use bootstash_net::api::Endpoint;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::timeout;

/// What the kernel accounts for a datagram, over its bytes.
const KERNEL_OVERHEAD: f64 = 1.6;
/// A busy host may not read a socket for this long.
const READ_DELAY_SECONDS: f64 = 0.25;
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// How much a socket should hold at this rate.
pub(super) fn buffer_for(bytes_per_second: u64) -> u64 {
    (bytes_per_second as f64 * READ_DELAY_SECONDS * KERNEL_OVERHEAD) as u64
}

/// The group and interface to receive from.
#[derive(Debug)]
pub(super) struct Subscription {
    config: MulticastReceiverConfig,
    current: Option<(Group, Interface, Joined)>,
    /// What was logged, until it changes.
    problem: Option<String>,
}

impl Subscription {
    pub(super) fn new(config: MulticastReceiverConfig) -> Self {
        Self { config, current: None, problem: None }
    }

    pub(super) fn current(&self) -> Option<(Group, &Interface)> {
        self.current.as_ref().map(|(group, interface, _)| (*group, interface))
    }

    pub(super) async fn set_group(&mut self, group: Option<Group>, registrar: &Endpoint) {
        let Some(group) = group.filter(|_| self.config.enabled) else {
            self.current = None;
            return;
        };
        if self
            .current
            .as_ref()
            .is_some_and(|(known, interface, _)| *known == group && is_unchanged(interface))
        {
            return;
        }
        self.current = None;
        match self.join(group, registrar).await {
            Ok(current) => {
                tracing::info!("receiving multicast group {group} on {}", current.1);
                (self.current, self.problem) = (Some(current), None);
            }
            Err(problem) if self.problem.as_ref() == Some(&problem) => (),
            Err(problem) => {
                tracing::warn!("not receiving multicast group {group}: {problem}");
                self.problem = Some(problem);
            }
        }
    }

    async fn join(&self, group: Group, registrar: &Endpoint) -> Result<(Group, Interface, Joined), String> {
        let interface = interface(&self.config, registrar).await;
        let interface = interface.map_err(|error| Chain(&error).to_string())?;
        let joined = Joined::new(group, &interface).map_err(|error| Chain(&error).to_string())?;
        Ok((group, interface, joined))
    }
}

/// It may have been renewed under the same name, as cables of virtual machines are.
fn is_unchanged(interface: &Interface) -> bool {
    Interface::named(interface.name()).is_ok_and(|now| now == *interface)
}

/// As configured, else the one that leads to the registrar.
pub(super) async fn interface(
    config: &MulticastReceiverConfig,
    registrar: &Endpoint,
) -> Result<Interface, InterfaceError> {
    match &config.interface {
        Some(name) => Interface::named(name),
        None => Interface::towards(address_of(registrar).await),
    }
}

/// The unspecified address where it cannot be looked up.
async fn address_of(registrar: &Endpoint) -> SocketAddr {
    let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let Endpoint::Tcp(url) = registrar else { return nowhere };
    let host = url.split_once("://").map_or(url.as_str(), |(_, host)| host).trim_end_matches('/');
    let Ok(Ok(mut found)) = timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host(host)).await else {
        return nowhere;
    };
    found.next().unwrap_or(nowhere)
}
