//! The sessions under way, by what they send: at most [`SESSIONS_MAX`], which share the configured rate equally.

use super::SESSIONS_MAX;
use super::join_window::JoinWindow;
use super::session::Session;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A session, before and after its first datagram.
#[derive(Clone, Debug)]
pub(super) enum Slot {
    /// Nodes still join.
    Joining(Arc<JoinWindow>),
    /// It sends.
    Running(Arc<Session>),
}

/// All slots. Each is named by the digest of the delta that it sends.
#[derive(Debug)]
pub(super) struct Slots {
    bytes_per_second: NonZeroU64,
    taken: Mutex<Vec<(String, Slot)>>,
}

impl Slots {
    pub(super) fn new(bytes_per_second: NonZeroU64) -> Self {
        Self { bytes_per_second, taken: Mutex::default() }
    }

    /// The slot of this name, or a new one for the join window that `open` makes; none where it makes none, or no
    /// slot is free. `with` is done to it before it can change.
    pub(super) fn find_or_open(
        &self,
        name: &str,
        open: impl FnOnce() -> Option<Arc<JoinWindow>>,
        with: impl FnOnce(&Slot),
    ) -> Option<Slot> {
        let mut taken = self.lock();
        let slot = match taken.iter().find(|(of, _)| of == name) {
            Some((_, slot)) => slot.clone(),
            None if taken.len() >= SESSIONS_MAX => return None,
            None => {
                let slot = Slot::Joining(open()?);
                taken.push((name.to_owned(), slot.clone()));
                slot
            }
        };
        with(&slot);
        Some(slot)
    }

    /// The session takes the place of its join window.
    pub(super) fn start(&self, name: &str, session: &Arc<Session>) {
        let mut taken = self.lock();
        taken.retain(|(of, _)| of != name);
        taken.push((name.to_owned(), Slot::Running(Arc::clone(session))));
        self.share_rate(&taken);
    }

    /// The same for a session without a join window; false where the name is taken, or no slot is free.
    pub(super) fn try_start(&self, name: &str, session: &Arc<Session>) -> bool {
        let mut taken = self.lock();
        let free = taken.len() < SESSIONS_MAX && taken.iter().all(|(of, _)| of != name);
        if free {
            taken.push((name.to_owned(), Slot::Running(Arc::clone(session))));
            self.share_rate(&taken);
        }
        free
    }

    pub(super) fn release(&self, name: &str) {
        let mut taken = self.lock();
        taken.retain(|(of, _)| of != name);
        self.share_rate(&taken);
    }

    /// Those that send.
    pub(super) fn sessions(&self) -> Vec<Arc<Session>> {
        running(&self.lock())
    }

    fn share_rate(&self, taken: &[(String, Slot)]) {
        let sessions = running(taken);
        let share = self.bytes_per_second.get() / (sessions.len() as u64).max(1);
        sessions.iter().for_each(|session| session.limit(share));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(String, Slot)>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn running(taken: &[(String, Slot)]) -> Vec<Arc<Session>> {
    let sessions = taken.iter().filter_map(|(_, slot)| match slot {
        Slot::Running(session) => Some(Arc::clone(session)),
        Slot::Joining(_) => None,
    });
    sessions.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_slot_is_opened_once_while_there_is_room() {
        let slots = Slots::new(NonZeroU64::new(1000).unwrap());
        let window = || Some(Arc::new(JoinWindow::new(BTreeSet::new())));
        let find = |name: &str| slots.find_or_open(name, window, |_| ());
        assert!(slots.find_or_open("worth nothing", || None, |_| ()).is_none());
        for number in 0..SESSIONS_MAX {
            assert!(find(&number.to_string()).is_some());
        }
        assert!(find("one more").is_none());
        let again = slots.find_or_open("0", || unreachable!("it is there"), |_| ());
        assert!(matches!(again, Some(Slot::Joining(_))));
        slots.release("0");
        assert!(find("one more").is_some());
        assert!(slots.sessions().is_empty());
    }
}
