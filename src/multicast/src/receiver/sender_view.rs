//! How far the sender is, as its heartbeats say.

use crate::wire::Heartbeat;
use std::time::{Duration, Instant};

/// Switches that drop a group do so without an error.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct SenderView {
    /// The last heartbeat under the key in use.
    heartbeat: Option<u32>,
    /// Blocks, from the first, of which every source symbol was sent.
    blocks_sent: u32,
    /// A heartbeat came, under whatever key.
    joined: bool,
    timeout_at: Instant,
}

/// What a heartbeat is the first of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct First {
    pub(super) of_key: bool,
    pub(super) of_all: bool,
}

impl SenderView {
    pub(super) fn new(now: Instant) -> Self {
        Self { heartbeat: None, blocks_sent: 0, joined: false, timeout_at: now + HEARTBEAT_TIMEOUT }
    }

    pub(super) fn heartbeat(&self) -> Option<u32> {
        self.heartbeat
    }

    pub(super) fn blocks_sent(&self) -> u32 {
        self.blocks_sent
    }

    /// Without a heartbeat by then, nothing more is expected of multicast.
    pub(super) fn timeout_at(&self) -> Instant {
        self.timeout_at
    }

    /// Whether this heartbeat, or one after it, came already.
    pub(super) fn has(&self, number: u32) -> bool {
        self.heartbeat.is_some_and(|last| last >= number)
    }

    /// Records a heartbeat; the object has this number of blocks.
    pub(super) fn update(&mut self, now: Instant, heartbeat: &Heartbeat, blocks: u32) -> First {
        let of_key = self.heartbeat.replace(heartbeat.number).is_none();
        self.blocks_sent = self.blocks_sent.max(heartbeat.blocks_sent.min(blocks));
        self.timeout_at = now + HEARTBEAT_TIMEOUT;
        First { of_key, of_all: !std::mem::replace(&mut self.joined, true) }
    }

    /// Heartbeats may have been forged under the old key.
    pub(super) fn forget(&mut self) {
        (self.heartbeat, self.blocks_sent) = (None, 0);
    }

    /// Nothing more comes: all counts as sent.
    pub(super) fn set_all_sent(&mut self, blocks: u32) {
        self.blocks_sent = blocks;
    }
}
