//! Mutations of bytes, whatever they mean.

use super::pick;
use fastrand::Rng;

/// Numbers at which readers go wrong.
pub(super) const INTERESTING: [u64; 16] = [
    0,
    1,
    7,
    16,
    63,
    64,
    127,
    255,
    1 << 15,
    (1 << 16) - 1,
    1 << 31,
    u32::MAX as u64,
    1 << 32,
    i64::MAX as u64,
    u64::MAX - 1,
    u64::MAX,
];
/// No input grows beyond, so that many can be tried.
const LONGEST: usize = 1 << 20;

/// One of the seeds, changed in one place or in up to eight: the fewer, the more of it still makes sense.
pub(super) fn mutate(rng: &mut Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = pick(rng, seeds).clone();
    for _ in 0..=rng.u32(..8) * rng.u32(..2) {
        let other = pick(rng, seeds);
        change(rng, &mut bytes, other);
    }
    bytes.truncate(LONGEST);
    bytes
}

/// Changes bytes in one place.
pub(super) fn change(rng: &mut Rng, bytes: &mut Vec<u8>, other: &[u8]) {
    let at = rng.usize(..=bytes.len());
    let run = at..(at + rng.usize(..=32)).min(bytes.len());
    match rng.u32(..9) {
        0 => flip(rng, bytes, at),
        1 => overwrite(rng, bytes, at),
        2 => bytes.insert(at, rng.u8(..)),
        3 => drop(bytes.drain(run)),
        4 => repeat(rng, bytes, run),
        5 => bytes.truncate(at),
        6 => splice(rng, bytes, at, other),
        7 => bytes[run].fill_with(|| rng.u8(..)),
        _ => number(rng, bytes, at),
    }
}

fn flip(rng: &mut Rng, bytes: &mut [u8], at: usize) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << rng.u32(..8);
    }
}

fn overwrite(rng: &mut Rng, bytes: &mut [u8], at: usize) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte = *pick(rng, b"\0\x01\x7f\x80\xff\n\"\\{}[]:,=#-/.%0 9");
    }
}

fn repeat(rng: &mut Rng, bytes: &mut Vec<u8>, run: std::ops::Range<usize>) {
    let (end, piece) = (run.end, bytes[run].repeat(rng.usize(1..64)));
    bytes.splice(end..end, piece);
}

fn splice(rng: &mut Rng, bytes: &mut Vec<u8>, at: usize, other: &[u8]) {
    bytes.truncate(at);
    bytes.extend_from_slice(&other[rng.usize(..=other.len())..]);
}

/// A number of one to eight bytes, of either order.
fn number(rng: &mut Rng, bytes: &mut [u8], at: usize) {
    let (value, width) = (*pick(rng, &INTERESTING), *pick(rng, &[1_usize, 2, 4, 8]));
    let Some(place) = bytes.get_mut(at..at + width) else { return };
    match rng.bool() {
        true => place.copy_from_slice(&value.to_le_bytes()[..width]),
        false => place.copy_from_slice(&value.to_be_bytes()[8 - width..]),
    }
}
