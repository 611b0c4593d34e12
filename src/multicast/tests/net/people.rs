//! Who is on the network.

use super::road::Path;
use crate::multicast::{Instruction, LeaveReason, Receiver};
use crate::names::NodeName;
use std::time::{Duration, Instant};

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::multicast) enum Conduct {
    Honest,
    /// Neither reports nor hears after this time.
    DeadAfter(Duration),
    /// Is expelled at this time: no key that comes later is for it.
    ExpelledAt(Duration),
    /// Says it was sent forged blocks, whatever comes.
    CriesWolf,
    /// Says it lacks as much of each block as can be repaired, and nothing else is amiss.
    AsksForAll,
}

pub(in crate::multicast) struct Peer {
    pub(in crate::multicast) name: NodeName,
    pub(in crate::multicast) conduct: Conduct,
    pub(in crate::multicast) path: Path,
    pub(in crate::multicast) joins: Duration,
    pub(in crate::multicast) receiver: Option<Receiver>,
    pub(in crate::multicast) bytes: Vec<u8>,
    pub(in crate::multicast) done: u32,
    pub(in crate::multicast) left: Option<LeaveReason>,
    pub(in crate::multicast) unicast_bytes: u64,
    /// As many had come when it left.
    pub(in crate::multicast) unicast_before: u64,
    pub(in crate::multicast) most_held: usize,
    /// What its next report is answered with.
    pub(super) replies: Vec<Instruction>,
    pub(super) in_burst: bool,
    pub(super) timer: Option<Instant>,
}

pub(in crate::multicast) fn peer(number: usize, path: Path) -> Peer {
    Peer {
        name: format!("n{number}").parse().unwrap(),
        conduct: Conduct::Honest,
        path,
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
