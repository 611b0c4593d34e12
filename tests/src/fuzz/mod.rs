//! Untrusted bytes, for all that reads what others wrote: inputs are mutated from what our own writers
//! make, and each is to be refused, or accepted as something that holds what its reader promises.
//!
//! Promises: an input is made of nothing but the seed and its number, so that a failure is seen again; none
//! brings about a panic, more memory than the target's bound, or an end that does not come.
//!
//! The mutations are our own: bolero and cargo-fuzz need a nightly compiler to guide theirs, and blind ones are
//! a page of code.

mod bytes;
mod json;
mod run;
mod targets;

pub use run::{Failure, Measure, Plan, Report, run};
pub use targets::{TARGETS, Target};

use fastrand::Rng;

/// What a target made of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The reader accepted the input.
    Accepted,
    /// The reader refused the input.
    Refused,
}

impl Verdict {
    /// Accepted where there is a value.
    fn of<T, E>(read: &Result<T, E>) -> Self {
        if read.is_ok() { Self::Accepted } else { Self::Refused }
    }
}

/// A reader under test. An error says which promise was broken.
pub type Reader = Box<dyn FnMut(&[u8]) -> anyhow::Result<Verdict>>;

/// One input of a target, by its number.
fn input(target: &Target, seeds: &[Vec<u8>], seed: u64, number: u64) -> Vec<u8> {
    let name = blake3::hash(target.name.as_bytes());
    let stream = name.as_bytes().iter().take(8).fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    let mut rng = Rng::with_seed(seed ^ stream.rotate_left(17) ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    (target.mutate)(&mut rng, seeds)
}

/// Draws one of the elements.
fn pick<'a, T>(rng: &mut Rng, from: &'a [T]) -> &'a T {
    &from[rng.usize(..from.len())]
}
