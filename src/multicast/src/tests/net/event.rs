//! Events of the network, in the order of time.

use crate::{Instruction, Report};
use std::ops::Range;
use std::rc::Rc;
use std::time::Instant;

pub(super) enum Action {
    Join(usize),
    Expel(usize),
    Datagram(usize, Rc<Vec<u8>>),
    Report(usize, Report),
    Instruct(usize, Instruction),
    Unicast(usize, Range<u64>),
    Wake(usize),
    WakeSender,
}

pub(super) struct Event(pub(super) Instant, pub(super) u64, pub(super) Action);

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}
impl Eq for Event {}
impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Event {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}
