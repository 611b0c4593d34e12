//! Whose rights count: who asked on a Unix socket, and work on files with that user's rights instead of ours.
//!
//! Promises: what is done within [`ActAs::act`] the kernel allows or refuses as it would the user's own work,
//! and no other thread of the process loses or gains a right by it.

mod user;

pub use user::User;

use nix::unistd::{Gid, Uid, geteuid};
use std::io;
use tokio::net::UnixStream;

/// Who connected to a Unix socket, as the kernel noted it then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnixPeer {
    uid: Uid,
    gid: Gid,
}

impl UnixPeer {
    /// Who is at the other end.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn of(socket: &UnixStream) -> io::Result<Self> {
        let peer = socket.peer_cred()?;
        Ok(Self { uid: Uid::from_raw(peer.uid()), gid: Gid::from_raw(peer.gid()) })
    }

    /// Ourselves: for what we do by ourselves.
    pub fn ourselves() -> Self {
        Self { uid: geteuid(), gid: nix::unistd::getegid() }
    }

    /// A user by numbers.
    pub fn numbered(uid: u32, gid: u32) -> Self {
        Self { uid: Uid::from_raw(uid), gid: Gid::from_raw(gid) }
    }

    /// Whether it is root, or who runs this process: all that we may do they may do anyway.
    pub fn owns_us(self) -> bool {
        self.uid.is_root() || self.uid == geteuid()
    }

    /// What it may do. Asks the host's user database, and so blocks.
    ///
    /// # Errors
    /// When the database does not tell its groups.
    pub fn act_as(self) -> io::Result<ActAs> {
        if self.owns_us() { Ok(ActAs::Ours) } else { User::find(self.uid, self.gid).map(ActAs::Of) }
    }
}

/// Whose rights count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActAs {
    /// This process's own.
    Ours,
    /// Those of a user.
    Of(User),
}

impl ActAs {
    /// Does `work` with these rights on files. Blocks.
    ///
    /// # Errors
    /// When this process may not take another's place; `work` was then not begun.
    pub fn act<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        match self {
            Self::Ours => Ok(work()),
            Self::Of(user) => user.act(work),
        }
    }
}
