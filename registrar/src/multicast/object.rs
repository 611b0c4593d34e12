//! What is sent: a file, hashed block by block, or zeros of which only the arrival matters.

use super::MulticastTarget;
use bootstash_base::error::Classified;
use bootstash_multicast::socket::{Interface, InterfaceError, SenderSocket, SocketError};
use bootstash_multicast::{Announcement, AnnouncementError, BlockLayout, BlockLayoutError, ObjectSource};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// An object that can be sent, and the socket to send it by.
pub(super) struct Object {
    pub(super) announcement: Announcement,
    pub(super) bytes: Bytes,
    pub(super) socket: SenderSocket,
}

/// Where the object's bytes are read from.
pub(super) enum Bytes {
    File(File),
    Memory(Vec<u8>),
}

/// It cannot be sent.
#[derive(Debug, thiserror::Error, Classified)]
pub enum PrepareError {
    /// The delta's file cannot be read.
    #[error("cannot read {}", .path.display())]
    #[class(operator)]
    Read {
        /// The delta's file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// It cannot be cut into blocks.
    #[error(transparent)]
    #[class(permanent)]
    BlockLayout(#[from] BlockLayoutError),
    /// It cannot be announced.
    #[error(transparent)]
    #[class(source)]
    Announcement(#[from] AnnouncementError),
    /// The interface is not there.
    #[error(transparent)]
    #[class(source)]
    Interface(#[from] InterfaceError),
    /// The socket.
    #[error(transparent)]
    #[class(source)]
    Socket(#[from] SocketError),
}

impl Object {
    /// A file. Reads it once; to be called on a thread that may block.
    pub(super) fn prepare(target: &MulticastTarget, path: &Path) -> Result<Self, PrepareError> {
        let failed = |source| PrepareError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        Self::of(target, Bytes::File(file), length, path)
    }

    /// Zeros, of which only the arrival matters.
    pub(super) fn probe(target: &MulticastTarget, length: usize) -> Result<Self, PrepareError> {
        Self::of(target, Bytes::Memory(vec![0; length]), length as u64, Path::new("memory"))
    }

    fn of(
        target: &MulticastTarget,
        mut bytes: Bytes,
        length: u64,
        path: &Path,
    ) -> Result<Self, PrepareError> {
        // First what takes no time.
        let interface = Interface::named(&target.interface)?;
        let socket = SenderSocket::open(target.group, &interface, target.config.ttl)?;
        let layout = BlockLayout::with_symbol_bytes(length, target.config.symbol_bytes)?;
        let hash = |block| bytes.read(layout.range(block)).map(|bytes| *blake3::hash(&bytes).as_bytes());
        let hashes: Result<Vec<_>, io::Error> = (0..layout.blocks()).map(hash).collect();
        let hashes = hashes.map_err(|source| PrepareError::Read { path: path.to_owned(), source })?;
        let rate = target.config.rate_bytes_per_second.get();
        Ok(Self { announcement: Announcement::new(layout, hashes, rate)?, bytes, socket })
    }
}

impl ObjectSource for Bytes {
    fn read(&mut self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let length = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
        match self {
            Self::File(file) => {
                let mut bytes = vec![0; length];
                file.read_exact_at(&mut bytes, range.start).map(|()| bytes)
            }
            Self::Memory(all) => {
                let start = usize::try_from(range.start).map_err(io::Error::other)?;
                let bytes = all.get(start..start + length).map(<[u8]>::to_vec);
                bytes.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
            }
        }
    }
}
