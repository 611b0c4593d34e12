//! `[multicast]` of both daemons.

use bootstash_multicast::Group;
use serde::Deserialize;
use std::num::NonZeroU64;

/// Sending deltas to all nodes at once.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MulticastConfig {
    /// The group; where there is none, nodes are served one by one.
    pub group: Option<Group>,
    /// The name of the network interface to send by.
    pub interface: Option<String>,
    /// What is sent a second at most, all headers included.
    pub rate_bytes_per_second: NonZeroU64,
    /// How many routers datagrams may pass, plus one.
    pub ttl: u8,
    /// What a datagram carries, in bytes; with 60 around it (80 for IPv6) it must fit the MTU of the whole way.
    pub symbol_bytes: u16,
}

impl Default for MulticastConfig {
    fn default() -> Self {
        Self { group: None, interface: None, rate_bytes_per_second: RATE, ttl: 1, symbol_bytes: 1408 }
    }
}

/// 200 Mbit/s: a fifth of what is slow today.
const RATE: NonZeroU64 = NonZeroU64::new(25_000_000).unwrap();

/// Receiving what the registrar sends to all nodes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MulticastReceiverConfig {
    /// Whether to receive it; else every delta is fetched.
    pub enabled: bool,
    /// The name of the network interface; where none is given, that which leads to the registrar.
    pub interface: Option<String>,
}

impl Default for MulticastReceiverConfig {
    fn default() -> Self {
        Self { enabled: true, interface: None }
    }
}
