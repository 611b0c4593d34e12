//! What a sender says to the program around it: what to send, and what else is to be done.

use crate::multicast::members::Demotion;
use crate::multicast::wire::{Beat, Position};
use crate::names::NodeName;

/// What to send now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transmit {
    /// A symbol.
    Symbol(Position),
    /// How far the sender is.
    Beat(Beat),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SenderEvent {
    /// Tell the node to fetch what these blocks lack: it is more than repair can give.
    Fetch {
        /// Whom.
        node: NodeName,
        /// Which.
        blocks: Vec<u32>,
    },
    /// Tell the node to fetch all that it lacks: it is no longer waited for.
    Demoted {
        /// Whom.
        node: NodeName,
        /// Why.
        why: Demotion,
    },
    /// Somebody who knows the key forges: go on in a new session, with a new key, for those who are trusted.
    Poisoned {
        /// Who saw it.
        node: NodeName,
    },
    /// Too many lose too much; multicast is no use for this object.
    GaveUp,
    /// It is over.
    Finished,
}
