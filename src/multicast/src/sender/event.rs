//! What a sender says to the program around it: what to send, and what else is to be done.

use crate::members::Demotion;
use crate::session::SessionId;
use crate::wire::{Heartbeat, Position};
use bootstash_base::names::NodeName;

/// What to send now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transmit {
    /// A symbol.
    Symbol(Position),
    /// How far the sender is.
    Heartbeat(Heartbeat),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SenderEvent {
    /// Tell the node to fetch what these blocks lack: it is more than repair can give.
    Fetch {
        /// The node to tell.
        node: NodeName,
        /// The blocks it lacks too much of, by number.
        blocks: Vec<u32>,
    },
    /// Tell the node to fetch all that it lacks: it is no longer waited for.
    Demoted {
        /// The node to tell.
        node: NodeName,
        /// The reason, in words for a person.
        why: Demotion,
    },
    /// A node received forged blocks: somebody else has the key.
    KeyCompromised {
        /// The node that reports it.
        node: NodeName,
    },
    /// Make a new key by [`crate::Announcement::rekeyed`], hand it in by
    /// [`crate::Sender::rekey`], and give it to these nodes with the reply to their next report. It
    /// takes the place of one that is not in use yet.
    Rekey {
        /// The nodes to tell; nobody else.
        nodes: Vec<NodeName>,
    },
    /// From now on seal with the key of this session, by [`crate::Packer::rekey`].
    Rekeyed {
        /// The last one handed in.
        session: SessionId,
    },
    /// Too many nodes lose too much: multicast is given up for this object.
    GaveUp,
    /// It is over.
    Finished,
}
