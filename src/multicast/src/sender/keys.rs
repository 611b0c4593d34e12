//! A new key in the middle of a session: who is to get it, and when it is used.
//!
//! Promises: it is used once every node that is waited for has it, or a second after it was handed in; where
//! none is handed in within a second, or forging goes on under the new one, multicast is given up.

use super::{Sender, SenderEvent};
use crate::members::Demotion;
use crate::report::{ReceiverStatus, Report};
use crate::session::{Announcement, RekeyError, SessionId};
use bootstash_base::names::NodeName;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// For the new key to be made, and then for all to get it.
const ROTATION: Duration = Duration::from_secs(1);
/// A node that has received nothing under the new key yet reports on the old one.
const OLD_REPORTS: Duration = Duration::from_secs(5);

/// Which keys there are, by their sessions.
#[derive(Debug)]
pub(super) struct Keys {
    /// The one in use.
    session: SessionId,
    old: Option<(SessionId, Instant)>,
    rotation: Option<Rotation>,
    /// Nodes that reported forged blocks since somebody was expelled.
    reporters: BTreeSet<NodeName>,
    /// The key was changed since then.
    rekeyed: bool,
}

/// A new key was asked for.
#[derive(Debug)]
struct Rotation {
    /// It was handed in.
    next: Option<SessionId>,
    until: Instant,
}

/// What a report of forged blocks means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Forgery {
    /// Somebody else has the key; the node may not have reported it before.
    KeyCompromised { new_reporter: bool },
    /// One node alone reports it, under the new key as under the old: the fault is the node's.
    NodeAtFault,
    /// Somebody else has the new key too.
    NewKeyCompromised,
}

/// What a rotation has come to.
enum Settled {
    Switched(SessionId),
    NoKeyCame,
}

impl Keys {
    pub(super) fn new(session: SessionId) -> Self {
        Self { session, old: None, rotation: None, reporters: BTreeSet::new(), rekeyed: false }
    }

    /// The one in use.
    pub(super) fn session(&self) -> SessionId {
        self.session
    }

    /// Whether a report may name this session now.
    pub(super) fn may_be_named(&self, session: SessionId, now: Instant) -> bool {
        session == self.session || self.old.is_some_and(|(old, until)| session == old && now < until)
    }

    pub(super) fn is_rotating(&self) -> bool {
        self.rotation.is_some()
    }

    pub(super) fn timeout(&self) -> Option<Instant> {
        self.rotation.as_ref().map(|rotation| rotation.until)
    }

    /// No other key is used.
    pub(super) fn cancel_rotation(&mut self) {
        self.rotation = None;
    }

    fn is_next(&self, session: Option<SessionId>) -> bool {
        let next = self.rotation.as_ref().and_then(|rotation| rotation.next);
        next.is_some() && next == session
    }

    fn begin_rotation(&mut self, now: Instant) {
        self.rotation = Some(Rotation { next: None, until: now + ROTATION });
    }

    /// The key that was asked for is this one.
    fn hand_in(&mut self, now: Instant, given: SessionId) -> Result<(), RekeyError> {
        let session = self.session;
        let Some(rotation) = self.rotation.as_mut() else {
            return Err(RekeyError::Unasked { session, given });
        };
        if given == session || self.old.is_some_and(|(old, _)| given == old) {
            return Err(RekeyError::NotNew { session });
        }
        *rotation = Rotation { next: Some(given), until: now + ROTATION };
        Ok(())
    }

    /// Whoever was expelled may have forged: reports count anew.
    fn forget_reporters(&mut self) {
        self.reporters.clear();
        self.rekeyed = false;
    }

    fn note_forgery(&mut self, node: &NodeName) -> Forgery {
        if !self.rekeyed {
            return Forgery::KeyCompromised { new_reporter: self.reporters.insert(node.clone()) };
        }
        let alone = self.reporters.iter().eq([node]);
        if alone { Forgery::NodeAtFault } else { Forgery::NewKeyCompromised }
    }

    /// Uses the new key, if it is time to.
    fn settle(&mut self, now: Instant, all_have_it: impl FnOnce() -> bool) -> Option<Settled> {
        let rotation = self.rotation.as_ref()?;
        let over = now >= rotation.until;
        match rotation.next {
            Some(next) if over || all_have_it() => {
                self.switch(next, now);
                Some(Settled::Switched(next))
            }
            None if over => Some(Settled::NoKeyCame),
            _ => None,
        }
    }

    fn switch(&mut self, to: SessionId, now: Instant) {
        self.old = Some((self.session, now + OLD_REPORTS));
        self.session = to;
        self.rotation = None;
        self.rekeyed = !self.reporters.is_empty();
    }
}

impl Sender {
    /// Accepts the new key that [`SenderEvent::Rekey`] asked for, and says by [`SenderEvent::Rekeyed`] when to use
    /// it.
    ///
    /// # Errors
    /// Where none was asked for, it is not new, or it is for another object.
    pub fn rekey(&mut self, now: Instant, announcement: &Announcement) -> Result<(), RekeyError> {
        let (session, given) = (self.keys.session, announcement.session());
        let same_layout = announcement.layout() == self.schedule.layout();
        if !same_layout || announcement.report_interval() != self.report_interval {
            return Err(RekeyError::OtherObject { session, given });
        }
        self.keys.hand_in(now, given)?;
        self.settle_key(now);
        Ok(())
    }

    /// A node is a member no more: it is dropped without being told, and the others get a new key.
    pub fn expel(&mut self, now: Instant, node: &NodeName) {
        if self.members.remove(node) && !self.is_ending() {
            self.keys.forget_reporters();
            self.ask_for_key(now);
        }
    }

    /// Takes note of what a report says of keys.
    pub(super) fn note_key(&mut self, now: Instant, node: &NodeName, report: &Report) {
        if self.keys.is_next(report.next_session)
            && let Some(member) = self.members.get_mut(node)
        {
            member.has_next_key = true;
        }
        let forged = matches!(report.status, ReceiverStatus::AwaitingKey | ReceiverStatus::KeyCompromised);
        // What was forged under the old key says nothing of the new one.
        if forged && report.session == self.keys.session && !self.is_ending() {
            self.handle_forgery(now, node);
        }
    }

    fn handle_forgery(&mut self, now: Instant, node: &NodeName) {
        match self.keys.note_forgery(node) {
            Forgery::KeyCompromised { new_reporter } => {
                if new_reporter {
                    self.events.push_back(SenderEvent::KeyCompromised { node: node.clone() });
                }
                if !self.keys.is_rotating() {
                    self.ask_for_key(now);
                }
            }
            Forgery::NodeAtFault => self.demote(node, Demotion::KeyCompromised),
            Forgery::NewKeyCompromised => self.give_up(now),
        }
    }

    fn ask_for_key(&mut self, now: Instant) {
        self.members.forget_next_key();
        self.keys.begin_rotation(now);
        let nodes = self.members.names(|member| !member.done);
        self.events.push_back(SenderEvent::Rekey { nodes });
    }

    /// Uses the new key, if it is time to.
    pub(super) fn settle_key(&mut self, now: Instant) {
        match self.keys.settle(now, || self.members.all_have_next_key()) {
            Some(Settled::Switched(session)) => {
                // The first under the new key tells all that it is in use.
                self.heartbeats.hurry(now);
                self.events.push_back(SenderEvent::Rekeyed { session });
            }
            Some(Settled::NoKeyCame) => self.give_up(now),
            None => {}
        }
    }
}
