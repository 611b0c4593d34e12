//! The nodes of the network.

use super::link::Link;
use crate::{Instruction, LeaveReason, Receiver};
use bootstash_base::names::NodeName;
use std::time::{Duration, Instant};

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Behaviour {
    Correct,
    /// Neither reports nor hears after this time.
    CrashesAfter(Duration),
    /// Is expelled at this time: no key that comes later is for it.
    ExpelledAt(Duration),
    /// Says it was sent forged blocks, whatever comes.
    ClaimsForgery,
    /// Says it lacks as much of each block as can be repaired, and nothing else is amiss.
    OverRequests,
}

pub(crate) struct Peer {
    pub(crate) name: NodeName,
    pub(crate) behaviour: Behaviour,
    pub(crate) link: Link,
    pub(crate) joins: Duration,
    pub(crate) receiver: Option<Receiver>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) done: u32,
    pub(crate) left: Option<LeaveReason>,
    pub(crate) unicast_bytes: u64,
    /// As many had come when it left.
    pub(crate) unicast_before: u64,
    pub(crate) most_held: usize,
    /// What its next report is answered with.
    pub(super) replies: Vec<Instruction>,
    pub(super) in_burst: bool,
    pub(super) timer: Option<Instant>,
}

pub(crate) fn peer(number: usize, link: Link) -> Peer {
    Peer {
        name: format!("n{number}").parse().unwrap(),
        behaviour: Behaviour::Correct,
        link,
        joins: Duration::ZERO,
        receiver: None,
        bytes: Vec::new(),
        done: 0,
        left: None,
        unicast_bytes: 0,
        unicast_before: 0,
        most_held: 0,
        replies: Vec::new(),
        in_burst: false,
        timer: None,
    }
}
