//! From a decision to send to a datagram: reads blocks, computes repair symbols of blocks that somebody
//! lacks, seals.
//!
//! Promises: only bytes that were announced are sent; at most a block and the repair of a few are held.

use super::block_layout::BlockLayout;
use super::fec::{self, FecError};
use super::sender::Transmit;
use super::session::{Announcement, RekeyError, SessionId};
use super::wire::{Position, SealError, Sealer};
use std::collections::VecDeque;
use std::io;
use std::ops::Range;

/// Blocks whose repair is kept; who asks for more blocks at once makes it be computed again.
const REPAIRS_KEPT: usize = 8;

/// Where the object's bytes come from.
pub trait ObjectSource {
    /// Just this range.
    ///
    /// # Errors
    /// Where it cannot be read in full.
    fn read(&mut self, range: Range<u64>) -> io::Result<Vec<u8>>;
}

/// A datagram cannot be made; the session is at its end.
#[derive(Debug, thiserror::Error, bootstash_base::error::Classified)]
pub enum PackError {
    /// The object cannot be read.
    #[error("block {block} of multicast session {session} cannot be read; nodes go on by unicast")]
    #[class(operator)]
    Read {
        /// Which session.
        session: SessionId,
        /// Which block.
        block: u32,
        /// What the operating system said.
        source: io::Error,
    },
    /// It is not what was announced.
    #[error(
        "block {block} of multicast session {session} is not what was announced; the file changed, start a new session"
    )]
    #[class(permanent)]
    Changed {
        /// Which session.
        session: SessionId,
        /// Which block.
        block: u32,
    },
    /// The code cannot be computed.
    #[error(transparent)]
    #[class(source)]
    Code(#[from] FecError),
    /// It cannot be sealed.
    #[error(transparent)]
    #[class(source)]
    Seal(#[from] SealError),
}

/// Makes datagrams.
pub struct Packer<S> {
    announcement: Announcement,
    source: S,
    sealer: Sealer,
    /// Sessions whose keys were used.
    used: Vec<SessionId>,
    /// The block that source symbols come from, padded to whole symbols.
    current: Option<(u32, Vec<u8>)>,
    repairs: VecDeque<(u32, Vec<u8>)>,
}

impl<S: ObjectSource> Packer<S> {
    /// For this session; one per session, as it is what keeps nonces apart.
    ///
    /// # Errors
    /// Where the cipher refuses the key.
    pub fn new(announcement: Announcement, source: S) -> Result<Self, SealError> {
        let (sealer, used) = (Sealer::new(&announcement)?, vec![announcement.session()]);
        Ok(Self { announcement, source, sealer, used, current: None, repairs: VecDeque::new() })
    }

    /// From now on seals with this key; nonces start anew with it.
    ///
    /// # Errors
    /// Where it is for another object, or was used already.
    pub fn rekey(&mut self, announcement: Announcement) -> Result<(), RekeyError> {
        let (session, given) = (self.announcement.session(), announcement.session());
        if !self.announcement.is_same_object(&announcement) {
            return Err(RekeyError::OtherObject { session, given });
        }
        if self.used.contains(&given) || announcement.key() == self.announcement.key() {
            return Err(RekeyError::NotNew { session });
        }
        self.sealer = Sealer::new(&announcement)?;
        self.used.push(given);
        self.announcement = announcement;
        Ok(())
    }

    /// The datagram that says this.
    ///
    /// # Errors
    /// Where the object cannot be read, has changed, or this was sealed before.
    pub fn pack(&mut self, transmit: &Transmit) -> Result<Vec<u8>, PackError> {
        match transmit {
            Transmit::Heartbeat(heartbeat) => Ok(self.sealer.heartbeat(heartbeat)?),
            Transmit::Symbol(at) => self.symbol(*at),
        }
    }

    fn symbol(&mut self, at: Position) -> Result<Vec<u8>, PackError> {
        let layout = *self.announcement.layout();
        let source = layout.source_symbols(at.block);
        let bytes = match at.index.checked_sub(source) {
            None => symbol(&layout, self.source_block(at.block)?, at.index).to_vec(),
            Some(repair) => symbol(&layout, self.repair_of(at.block)?, repair).to_vec(),
        };
        Ok(self.sealer.symbol(at, &bytes)?)
    }

    fn source_block(&mut self, block: u32) -> Result<&[u8], PackError> {
        let padded = match self.current.take() {
            Some((of, padded)) if of == block => padded,
            _ => self.read(block)?,
        };
        Ok(&self.current.insert((block, padded)).1)
    }

    fn repair_of(&mut self, block: u32) -> Result<&[u8], PackError> {
        let kept = self.repairs.iter().position(|(of, _)| *of == block);
        let repair = match kept.and_then(|index| self.repairs.remove(index)) {
            Some((_, repair)) => repair,
            None => {
                let padded = self.read(block)?;
                fec::encode(self.announcement.layout(), block, &padded)?
            }
        };
        self.repairs.truncate(REPAIRS_KEPT - 1);
        self.repairs.push_front((block, repair));
        Ok(&self.repairs[0].1)
    }

    fn read(&mut self, block: u32) -> Result<Vec<u8>, PackError> {
        let (session, layout) = (self.announcement.session(), self.announcement.layout());
        let read = self.source.read(layout.range(block));
        let mut bytes = read.map_err(|source| PackError::Read { session, block, source })?;
        if !self.announcement.is_block(block, &bytes) {
            return Err(PackError::Changed { session, block });
        }
        bytes.resize(usize::from(layout.source_symbols(block)) * layout.symbol_bytes(), 0);
        Ok(bytes)
    }
}

fn symbol<'a>(layout: &BlockLayout, symbols: &'a [u8], index: u16) -> &'a [u8] {
    &symbols[usize::from(index) * layout.symbol_bytes()..][..layout.symbol_bytes()]
}
