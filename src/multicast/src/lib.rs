//! One object to many receivers at once: reliable, authenticated multicast with forward error correction, as state
//! machines without I/O, and the sockets for them.
//!
//! Usable without the rest of bootstash: of that it needs the names of nodes and the classes of errors. Whole and
//! running, in one process over loopback: `examples/loopback.rs`. On the wire, and why: `docs/wire.md`.
//!
//! # Map
//!
//! | module or type | what for |
//! |---|---|
//! | [`Announcement`] | what both sides must know of a session: key, layout, hashes; to be sent over TLS |
//! | [`BlockLayout`] | how an object is cut into blocks of symbols |
//! | [`Sender`] | decides what is sent, and when; who is waited for; the rate; changes of key |
//! | [`Packer`] | makes that into datagrams: reads blocks, computes repair symbols, seals |
//! | [`socket::SenderSocket`] | sends them to the group |
//! | [`socket::ReceiverSocket`] | receives them |
//! | [`Receiver`] | decides what of a datagram is used, what is fetched by unicast, what is reported |
//! | [`Assembly`] | restores a block, on any thread |
//! | [`Report`], [`Instruction`] | what a receiver says, and what it is answered: JSON over a channel of the program |
//! | [`fec`] | the code by itself |
//!
//! # How it is driven
//!
//! [`Sender`] and [`Receiver`] have a poll API, as in quinn-proto: `handle_…` methods take in what happened and the
//! time, `poll_…` methods say what to do and when to come back. Each documents on its type in which order. A program
//! brings the sockets' loop, a control channel that authenticates both ends, and a way to fetch ranges of the object.
//!
//! # Promises
//!
//! - A receiver gives out only bytes whose BLAKE3 was announced, whatever arrives, and holds at most
//!   [`HELD_BYTES_MAX`].
//! - No position of a session is sealed twice under a key.
//! - A node that receives badly, lies or is silent delays nobody: it is sent to unicast, for what it lacks.
//! - Whatever the machines wait for has a deadline; nothing is allocated by what a number in a datagram says.

mod assembly;
mod bits;
mod block_layout;
pub mod fec;
mod group;
mod members;
mod pack;
mod rate;
mod receiver;
mod report;
mod sender;
mod session;
pub mod socket;
mod token_bucket;
mod wire;

pub use assembly::{Assembled, Assembly};
pub use block_layout::{BlockLayout, BlockLayoutError};
pub use group::{Group, GroupError};
pub use members::Demotion;
pub use pack::{ObjectSource, PackError, Packer};
pub use rate::RateLimits;
pub use receiver::{Counters, HELD_BYTES_MAX, LeaveReason, Receiver, ReceiverEvent, UnicastError};
pub use report::{Deficit, Instruction, ReceiverStatus, Report, ReportError};
pub use sender::{Sender, SenderEvent, Transmit};
pub use session::{Announcement, AnnouncementError, RekeyError, SessionId, SessionKey};
pub use wire::{Heartbeat, Position, Rejected, SealError};

#[cfg(test)]
mod tests;
