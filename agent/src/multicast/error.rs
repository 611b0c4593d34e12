//! Why a delta was not received by multicast.

use bootstash_base::error::{Classified, ErrorClass};
use bootstash_multicast::UnicastError;
use bootstash_multicast::socket::SocketError;
use bootstash_net::api::CallError;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// A delta was not received; it is to be fetched.
#[derive(Debug, Error)]
pub enum MulticastError {
    /// The registrar announced something else.
    #[error("the registrar announced a multicast session for {file} that does not fit it")]
    Announcement {
        /// The delta's file.
        file: String,
    },
    /// The registrar.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The socket broke.
    #[error("cannot receive from the multicast group any longer")]
    Receive(#[source] io::Error),
    /// What was fetched is no part of it.
    #[error(transparent)]
    Unicast(#[from] UnicastError),
    /// What was fetched is not what was announced.
    #[error("block {block} of {file} is not what was announced, not even where it was fetched")]
    Damaged {
        /// Which block.
        block: u32,
        /// The delta's file.
        file: String,
    },
    /// Parts came short.
    #[error("the registrar sent {got} bytes of {wanted} that were asked for")]
    Short {
        /// How many.
        got: u64,
        /// How many should be.
        wanted: u64,
    },
    /// Neither multicast nor unicast made progress.
    #[error("nothing more of {file} came for {seconds} s")]
    Stalled {
        /// The delta's file.
        file: String,
        /// How long.
        seconds: u64,
    },
    /// The disk.
    #[error("cannot write {}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Classified for MulticastError {
    fn kind(&self) -> ErrorClass {
        match self {
            Self::Call(error) => error.kind(),
            Self::Socket(error) => error.kind(),
            Self::Io { .. } | Self::Receive(_) => ErrorClass::Operator,
            Self::Announcement { .. } | Self::Unicast(_) | Self::Damaged { .. } => ErrorClass::Permanent,
            Self::Short { .. } | Self::Stalled { .. } => ErrorClass::Transient,
        }
    }
}
