//! Multicast: datagrams to a receiver, reports to a sender, and the announcements that both begin with.
//!
//! Names and keys are written here, not random, so that inputs are made of nothing but their numbers.

mod announcements;
mod datagrams;
mod reports;

pub(super) use announcements::{announcements, open_announcements};
pub(super) use datagrams::{mutate_datagrams, open_datagrams, scripts};
pub(super) use reports::{mutate_reports, open_reports, reports};

use bootstash_multicast::{Announcement, BlockLayout, ObjectSource, Packer, Position, Transmit};
use std::io;
use std::ops::Range;

const SYMBOL: u16 = 64;
const SOURCE: u16 = 8;
const REPAIR: u16 = 4;
/// Five blocks, of which the last is short and its last symbol too.
const LENGTH: usize = 4 * 8 * 64 + 200;

/// One of the sessions: the true one, one that comes after it with another key, and one of somebody else.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Session {
    First,
    Next,
    Foreign,
}

/// An object by its number; 0 is the true one.
fn object(number: u8) -> Vec<u8> {
    (0..LENGTH).map(|at| (at / 3) as u8 ^ (at as u8).wrapping_mul(31) ^ number).collect()
}

/// With another name and key than the random ones.
fn announcement(session: Session, object: &[u8]) -> anyhow::Result<Announcement> {
    let (name, key) = match session {
        Session::First => ("00000000000000a1", "AAAAAAAAAAAAAAAAAAAAAA"),
        Session::Next => ("00000000000000b2", "BBBBBBBBBBBBBBBBBBBBBA"),
        Session::Foreign => ("00000000000000c3", "CCCCCCCCCCCCCCCCCCCCCA"),
    };
    let layout = BlockLayout::new(object.len() as u64, SYMBOL, SOURCE, REPAIR)?;
    let blocks = object.chunks(usize::from(SYMBOL * SOURCE));
    let hashes = blocks.map(|block| *blake3::hash(block).as_bytes()).collect();
    let mut written = serde_json::to_value(Announcement::new(layout, hashes, 1)?)?;
    written["session"] = name.into();
    written["key"] = key.into();
    Ok(serde_json::from_value(written)?)
}

struct Bytes(Vec<u8>);

impl ObjectSource for Bytes {
    fn read(&mut self, range: Range<u64>) -> io::Result<Vec<u8>> {
        Ok(self.0[range.start as usize..range.end as usize].to_vec())
    }
}

/// Seals with a session's key; forged bytes too, which only that session's announcement could tell.
fn packer(session: Session, object: Vec<u8>) -> anyhow::Result<Packer<Bytes>> {
    Ok(Packer::new(announcement(session, &object)?, Bytes(object))?)
}

fn every_symbol(layout: BlockLayout) -> impl Iterator<Item = Transmit> {
    let blocks = (0..layout.blocks()).map(move |block| (block, layout.symbols(block)));
    blocks.flat_map(|(block, symbols)| {
        (0..symbols).map(move |index| Transmit::Symbol(Position { block, index }))
    })
}
