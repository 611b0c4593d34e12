//! The keys of a receiver: the one in use, and the one that comes next.
//!
//! Promises: both are accepted until the first datagram under the new one, from then on it alone; what was said
//! under the old key of blocks that are not whole counts no more.

use super::Receiver;
use crate::session::{Announcement, RekeyError, SessionId};
use crate::wire::Opener;
use std::time::{Duration, Instant};

/// A node that received forged blocks waits this long for a new key.
const KEY_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) struct Keys {
    session: SessionId,
    /// None where the cipher refuses the key.
    opener: Option<Opener>,
    next: Option<(SessionId, Option<Opener>)>,
    /// Somebody forges under the key in use; without another by then, multicast is left.
    leave_at: Option<Instant>,
    /// Blocks that were forged under it.
    bad_blocks: u32,
    /// No source symbol came under it yet, that tells how far the sender is.
    is_place_unsure: bool,
}

const BAD_BLOCKS_MAX: u32 = 2;

impl Keys {
    pub(super) fn new(of: &Announcement) -> Self {
        Self {
            session: of.session(),
            opener: Opener::new(of),
            next: None,
            leave_at: None,
            bad_blocks: 0,
            is_place_unsure: false,
        }
    }

    pub(super) fn session(&self) -> SessionId {
        self.session
    }

    /// By then another key must be in use.
    pub(super) fn leave_at(&self) -> Option<Instant> {
        self.leave_at
    }

    pub(super) fn next_session(&self) -> Option<SessionId> {
        self.next.as_ref().map(|(session, _)| *session)
    }

    /// What opens this datagram, and whether it is the next key.
    pub(super) fn opener(&self, datagram: &[u8]) -> (Option<&Opener>, bool) {
        let next = self.next.as_ref().filter(|(session, _)| datagram.starts_with(&session.to_bytes()));
        match next {
            Some((_, opener)) => (opener.as_ref(), true),
            None => (self.opener.as_ref(), false),
        }
    }

    /// Whether this source symbol is the first under a new key, which tells how far the sender is.
    pub(super) fn take_place_unsure(&mut self) -> bool {
        std::mem::take(&mut self.is_place_unsure)
    }

    /// A block was forged under the key in use: the second is no accident, and is to be reported.
    pub(super) fn count_forged(&mut self, now: Instant) -> bool {
        self.bad_blocks += 1;
        let compromised = self.bad_blocks == BAD_BLOCKS_MAX;
        if compromised {
            self.leave_at = Some(now + KEY_TIMEOUT);
        }
        compromised
    }

    fn advance(&mut self) {
        if let Some((session, opener)) = self.next.take() {
            let fresh =
                Self { session, opener, next: None, leave_at: None, bad_blocks: 0, is_place_unsure: true };
            *self = fresh;
        }
    }
}

impl Receiver {
    /// Accepts the key that comes next; the one in use changes nothing.
    ///
    /// # Errors
    /// Where it is for another object.
    pub fn rekey(&mut self, announcement: &Announcement) -> Result<(), RekeyError> {
        let (session, given) = (self.keys.session, announcement.session());
        if !self.announcement.is_same_object(announcement) {
            return Err(RekeyError::OtherObject { session, given });
        }
        if given != session {
            self.keys.next = Some((given, Opener::new(announcement)));
        }
        Ok(())
    }

    /// The first datagram under the next key came.
    pub(super) fn switch_key(&mut self) {
        self.keys.advance();
        self.sender.forget();
        self.blocks.distrust_old_key();
    }
}
