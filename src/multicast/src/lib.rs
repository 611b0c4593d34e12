//! One transmission to all nodes: reliable, authenticated multicast, as state machines without I/O.
//!
//! The [`Sender`] decides what goes out and when, the [`Packer`] makes it into datagrams; each node has a
//! [`Receiver`]. Time, datagrams, reports and what came by unicast are handed in; what is to be done comes
//! out.
//!
//! Promises: a receiver hands out only bytes whose BLAKE3 was announced over TLS, whatever arrives; it holds
//! at most [`HELD_BYTES_MAX`]. No position of a session is sealed twice. A node that hears badly, lies or is
//! silent delays nobody: it is sent to unicast, for what it lacks. Everything the machines wait for has an
//! end. See docs/wire.md.

mod assembly;
mod bits;
mod block_layout;
mod fec;
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
pub use fec::FecError;
pub use group::{Group, GroupError};
pub use members::Demotion;
pub use pack::{BlockSource, PackError, Packer};
pub use rate::RateLimits;
pub use receiver::{Counters, HELD_BYTES_MAX, LeaveReason, Receiver, ReceiverEvent, UnicastError};
pub use report::{Deficit, Instruction, ReceiverStatus, Report, ReportError};
pub use sender::{Sender, SenderEvent, Transmit};
pub use session::{Announcement, AnnouncementError, RekeyError, SessionId, SessionKey};
pub use wire::{Heartbeat, Position, Rejected, SealError};

#[cfg(test)]
mod tests;
