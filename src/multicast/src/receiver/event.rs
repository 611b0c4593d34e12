//! What a receiver asks of the program around it, and what it counts.

use crate::assembly::Assembly;
use std::ops::Range;

/// What is to be done.
pub enum ReceiverEvent {
    /// Run it, and hand in what came of it.
    Assemble(Assembly),
    /// A block's bytes, as announced; they belong at this place of the object.
    Block {
        /// Where its first byte belongs.
        offset: u64,
        /// All of it.
        bytes: Vec<u8>,
    },
    /// Fetch these ranges of the object, and hand in each.
    Fetch(Vec<Range<u64>>),
    /// It goes on by unicast alone.
    Left(LeaveReason),
    /// What came by unicast is not what was announced: get the object elsewhere.
    Failed {
        /// Which block.
        block: u32,
    },
    /// All blocks were given out.
    Done,
}

/// Why a receiver left multicast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LeaveReason {
    /// No heartbeat for two seconds.
    HeartbeatTimeout,
    /// Two blocks were not what was announced, and no new key came.
    KeyCompromised,
}

/// Bytes by unicast cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "{length} bytes at {offset} are not whole symbols of one block of the multicast object; fetch only ranges that were asked for"
)]
pub struct UnicastError {
    /// Where they would belong.
    pub offset: u64,
    /// How many there are.
    pub length: u64,
}

impl bootstash_base::error::Classified for UnicastError {
    fn kind(&self) -> bootstash_base::error::ErrorClass {
        bootstash_base::error::ErrorClass::Permanent
    }
}

/// What came, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams that were accepted.
    pub taken: u64,
    /// Symbols for which there was no room.
    pub without_room: u64,
    /// Of a length that none has.
    pub wrong_length: u64,
    /// Of another session.
    pub wrong_session: u64,
    /// Of no block, or none of its symbols.
    pub wrong_position: u64,
    /// Here already.
    pub held: u64,
    /// Not sealed with the session's key.
    pub wrong_seal: u64,
    /// Keys for another object.
    pub wrong_keys: u64,
    /// Bytes that came by unicast and were needed.
    pub unicast_bytes: u64,
    /// Blocks that were not what was announced.
    pub bad_blocks: u32,
}
