//! Why a delta was not received by multicast.

use bootstash_base::error::Classified;
use bootstash_multicast::UnicastError;
use bootstash_multicast::socket::SocketError;
use bootstash_net::api::CallError;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// A delta was not received; it is to be fetched.
#[derive(Debug, Error, Classified)]
pub enum MulticastError {
    /// The registrar announced something else.
    #[error("the registrar announced a multicast session for {file} that does not fit it")]
    #[class(permanent)]
    Announcement {
        /// The delta's file.
        file: String,
    },
    /// The registrar.
    #[error(transparent)]
    #[class(source)]
    Call(#[from] CallError),
    /// The socket.
    #[error(transparent)]
    #[class(source)]
    Socket(#[from] SocketError),
    /// The socket broke.
    #[error("cannot receive from the multicast group any longer")]
    #[class(operator)]
    Receive(#[source] io::Error),
    /// What was fetched is no part of it.
    #[error(transparent)]
    #[class(permanent)]
    Unicast(#[from] UnicastError),
    /// What was fetched is not what was announced.
    #[error("block {block} of {file} is not what was announced, not even where it was fetched")]
    #[class(permanent)]
    Damaged {
        /// Which block.
        block: u32,
        /// The delta's file.
        file: String,
    },
    /// Parts came short.
    #[error("the registrar sent {got} bytes of {wanted} that were asked for")]
    #[class(transient)]
    Short {
        /// How many.
        got: u64,
        /// How many should be.
        wanted: u64,
    },
    /// Neither multicast nor unicast made progress.
    #[error("nothing more of {file} came for {seconds} s")]
    #[class(transient)]
    Stalled {
        /// The delta's file.
        file: String,
        /// How long.
        seconds: u64,
    },
    /// The disk.
    #[error("cannot write {}", .path.display())]
    #[class(operator)]
    Io {
        /// The file, by its path.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}
