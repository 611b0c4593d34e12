//! A datagram: session, block and index in the clear, then the sealed payload.
//!
//! ```text
//! 0        8       12      16                       16 + n     32 + n
//! | session | block | index | AES-128-GCM ciphertext | tag |    all numbers big-endian
//! ```
//!
//! Promises: what comes out of [`Opener::read`] was sealed with the session's key at just this position. The
//! nonce is the position, and the [`Sealer`] seals none twice: positions of a block only go upwards.

use super::block_layout::BlockLayout;
use super::session::{Announcement, SessionId};
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

/// Session, block and index.
pub(super) const HEADER_BYTES: usize = 16;
/// What sealing adds.
const TAG_BYTES: usize = 16;
/// The block number of a heartbeat; no layout has as many blocks.
const HEARTBEAT: u32 = u32::MAX;
const HEARTBEAT_BYTES: usize = 12;

/// One symbol of the object: source symbols first, then those that repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Which block.
    pub block: u32,
    /// Which of its symbols.
    pub index: u16,
}

/// How far the sender is; all that a receiver gets while no symbols are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Counts from 0.
    pub number: u32,
    /// Blocks, from the first, whose source symbols had all been sent before the last heartbeat.
    pub blocks_sent: u32,
    /// Symbols that were sent so far.
    pub symbols_sent: u64,
}

/// Why a datagram is rejected, in the order of the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// Neither a symbol's length nor a heartbeat's.
    Length,
    /// Of another session, or of one that this receiver has left.
    Session,
    /// No such block, or no such symbol in it.
    Position,
    /// It is here already.
    Held,
    /// Not sealed with the session's key, or changed since.
    Seal,
}

/// What was in a datagram.
pub(super) enum Opened<'a> {
    Symbol(Position, &'a [u8]),
    Heartbeat(Heartbeat),
}

/// What the header says, before the seal is checked.
pub(super) enum UnverifiedHeader {
    Symbol(Position),
    Heartbeat(u32),
}

/// A datagram cannot be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// It was sealed before, or comes after one that follows it.
    #[error("symbol {} of block {} of multicast session {session} would be sealed twice; start a new session", .at.index, .at.block)]
    Twice {
        /// Which session.
        session: SessionId,
        /// Which symbol.
        at: Position,
    },
    /// The cipher refuses.
    #[error("multicast session {session} cannot seal; start a new session")]
    Cipher {
        /// Which session.
        session: SessionId,
    },
}

impl bootstash_base::error::Classified for SealError {
    fn kind(&self) -> bootstash_base::error::ErrorClass {
        bootstash_base::error::ErrorClass::Permanent
    }
}

/// Seals each position once.
pub(super) struct Sealer {
    session: SessionId,
    key: LessSafeKey,
    /// The lowest index of each block that was not sealed yet.
    next: Vec<u16>,
    next_heartbeat: u32,
}

impl Sealer {
    pub(super) fn new(of: &Announcement) -> Result<Self, SealError> {
        let key = key(of).ok_or(SealError::Cipher { session: of.session() })?;
        let next = vec![0; of.layout().blocks() as usize];
        Ok(Self { session: of.session(), key, next, next_heartbeat: 0 })
    }

    pub(super) fn symbol(&mut self, at: Position, payload: &[u8]) -> Result<Vec<u8>, SealError> {
        let twice = SealError::Twice { session: self.session, at };
        match self.next.get_mut(at.block as usize) {
            Some(next) if *next <= at.index && at.index < u16::MAX => *next = at.index + 1,
            _ => return Err(twice),
        }
        self.seal(at.block, u32::from(at.index), payload)
    }

    pub(super) fn heartbeat(&mut self, heartbeat: &Heartbeat) -> Result<Vec<u8>, SealError> {
        if heartbeat.number < self.next_heartbeat || heartbeat.number == u32::MAX {
            let at = Position { block: HEARTBEAT, index: 0 };
            return Err(SealError::Twice { session: self.session, at });
        }
        self.next_heartbeat = heartbeat.number + 1;
        let payload =
            [&heartbeat.blocks_sent.to_be_bytes()[..], &heartbeat.symbols_sent.to_be_bytes()].concat();
        self.seal(HEARTBEAT, heartbeat.number, &payload)
    }

    fn seal(&self, block: u32, index: u32, payload: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut datagram = Vec::with_capacity(HEADER_BYTES + payload.len() + TAG_BYTES);
        datagram.extend_from_slice(&self.session.to_bytes());
        datagram.extend_from_slice(&block.to_be_bytes());
        datagram.extend_from_slice(&index.to_be_bytes());
        datagram.extend_from_slice(payload);
        let (header, body) = datagram.split_at_mut(HEADER_BYTES);
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce(block, index), Aad::from(&*header), body)
            .map_err(|_| SealError::Cipher { session: self.session })?;
        datagram.extend_from_slice(tag.as_ref());
        Ok(datagram)
    }
}

/// Opens what is of its session.
pub(super) struct Opener {
    session: SessionId,
    key: LessSafeKey,
    layout: BlockLayout,
}

impl Opener {
    /// None where the cipher refuses the key, which it has no reason to.
    pub(super) fn new(of: &Announcement) -> Option<Self> {
        Some(Self { session: of.session(), key: key(of)?, layout: *of.layout() })
    }

    /// Checks the length, the session, the position, whether it `is_held`, and only then the seal.
    pub(super) fn read<'a>(
        &self,
        datagram: &'a mut [u8],
        is_held: impl FnOnce(&UnverifiedHeader) -> bool,
    ) -> Result<Opened<'a>, Rejected> {
        let claimed = self.header(datagram)?;
        if is_held(&claimed) {
            return Err(Rejected::Held);
        }
        let (header, body) = datagram.split_at_mut(HEADER_BYTES);
        let (block, index) = (number(&header[8..12]), number(&header[12..16]));
        let opened = self.key.open_in_place(nonce(block, index), Aad::from(&*header), body);
        let payload: &[u8] = opened.map_err(|_| Rejected::Seal)?;
        Ok(match claimed {
            UnverifiedHeader::Symbol(at) => Opened::Symbol(at, payload),
            UnverifiedHeader::Heartbeat(number) => {
                Opened::Heartbeat(read_heartbeat(number, payload).ok_or(Rejected::Length)?)
            }
        })
    }

    fn header(&self, datagram: &[u8]) -> Result<UnverifiedHeader, Rejected> {
        let payload = datagram.len().checked_sub(HEADER_BYTES + TAG_BYTES).ok_or(Rejected::Length)?;
        if payload != self.layout.symbol_bytes() && payload != HEARTBEAT_BYTES {
            return Err(Rejected::Length);
        }
        if datagram[..8] != self.session.to_bytes() {
            return Err(Rejected::Session);
        }
        let (block, index) = (number(&datagram[8..12]), number(&datagram[12..16]));
        let is_heartbeat = block == HEARTBEAT;
        if is_heartbeat != (payload == HEARTBEAT_BYTES) {
            return Err(Rejected::Position);
        }
        if is_heartbeat {
            Ok(UnverifiedHeader::Heartbeat(index))
        } else {
            self.position(block, index).map(UnverifiedHeader::Symbol)
        }
    }

    fn position(&self, block: u32, index: u32) -> Result<Position, Rejected> {
        let index = u16::try_from(index).map_err(|_| Rejected::Position)?;
        let there = block < self.layout.blocks() && index < self.layout.symbols(block);
        if there { Ok(Position { block, index }) } else { Err(Rejected::Position) }
    }
}

fn key(of: &Announcement) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_128_GCM, of.key().bytes()).ok().map(LessSafeKey::new)
}

/// The position: it is never sealed twice under a key, and a key is of one session only.
fn nonce(block: u32, index: u32) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..8].copy_from_slice(&block.to_be_bytes());
    bytes[8..].copy_from_slice(&index.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| (number << 8) | u32::from(*byte))
}

fn read_heartbeat(number_of_heartbeat: u32, payload: &[u8]) -> Option<Heartbeat> {
    let sent: [u8; 8] = payload.get(4..12)?.try_into().ok()?;
    Some(Heartbeat {
        number: number_of_heartbeat,
        blocks_sent: number(payload.get(..4)?),
        symbols_sent: u64::from_be_bytes(sent),
    })
}
