//! The keys of a receiver: the one in use, and the one that comes next.
//!
//! Promises: both are taken until the first datagram under the new one, from then on it alone; what was said
//! under the old key of blocks that are not whole counts no more.

use super::Receiver;
use super::blocks::{BlockState, Phase};
use crate::session::{Announcement, RekeyError, SessionId};
use crate::wire::Opener;
use std::time::{Duration, Instant};

/// Who is sent forged blocks waits for a new key so long.
const KEY_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) struct Keys {
    session: SessionId,
    /// None where the cipher refuses the key.
    opener: Option<Opener>,
    next: Option<(SessionId, Option<Opener>)>,
    /// Somebody forges under the key in use; so long there is hope for another.
    pub(super) leave_at: Option<Instant>,
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

    fn advance(&mut self) {
        if let Some((session, opener)) = self.next.take() {
            let fresh =
                Self { session, opener, next: None, leave_at: None, bad_blocks: 0, is_place_unsure: true };
            *self = fresh;
        }
    }
}

impl Receiver {
    /// Takes the key that comes next; the one in use again changes nothing.
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
        // Beats may have been forged too.
        (self.heartbeat, self.passed) = (None, 0);
        self.blocks.iter_mut().for_each(BlockState::distrust);
    }

    /// What is held of blocks that the sender did not come to yet is a forger's.
    pub(super) fn drop_ahead_of(&mut self, block: u32) {
        if !std::mem::take(&mut self.keys.is_place_unsure) {
            return;
        }
        for state in self.blocks.iter_mut().skip(block as usize + 1) {
            if state.of_old_key && !state.wanted && matches!(state.phase, Phase::Open(_)) {
                *state = BlockState { bad: state.bad, by_unicast: state.by_unicast, ..BlockState::default() };
                self.open -= 1;
            }
        }
    }

    /// A block was forged under the key in use: the second is no accident.
    pub(super) fn count_forged(&mut self, now: Instant) {
        self.keys.bad_blocks += 1;
        if self.keys.bad_blocks == BAD_BLOCKS_MAX {
            self.keys.leave_at = Some(now + KEY_TIMEOUT);
            self.report_at = Some(now);
        }
    }
}
