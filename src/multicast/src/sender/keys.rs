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
/// A node that has not heard the new key yet reports on the old one.
const OLD_REPORTS: Duration = Duration::from_secs(5);

/// Which keys there are, by their sessions.
#[derive(Debug)]
pub(super) struct Keys {
    /// The one in use.
    pub(super) session: SessionId,
    old: Option<(SessionId, Instant)>,
    rotation: Option<Rotation>,
    /// Who was sent forged blocks since somebody was expelled.
    alarmed: BTreeSet<NodeName>,
    /// The key was changed since then.
    answered: bool,
}

/// A new key was asked for.
#[derive(Debug)]
struct Rotation {
    /// It was handed in.
    next: Option<SessionId>,
    until: Instant,
}

impl Keys {
    pub(super) fn new(session: SessionId) -> Self {
        Self { session, old: None, rotation: None, alarmed: BTreeSet::new(), answered: false }
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

    fn is_next(&self, session: Option<SessionId>) -> bool {
        let next = self.rotation.as_ref().and_then(|rotation| rotation.next);
        next.is_some() && next == session
    }

    /// No other key is used.
    pub(super) fn stay(&mut self) {
        self.rotation = None;
    }

    fn switch(&mut self, to: SessionId, now: Instant) {
        self.old = Some((self.session, now + OLD_REPORTS));
        self.session = to;
        self.rotation = None;
        self.answered = !self.alarmed.is_empty();
    }
}

impl Sender {
    /// Takes the new key that [`SenderEvent::Rekey`] asked for, and says by [`SenderEvent::Rekeyed`] when to use
    /// it.
    ///
    /// # Errors
    /// Where none was asked for, it is not new, or it is for another object.
    pub fn rekey(&mut self, now: Instant, announcement: &Announcement) -> Result<(), RekeyError> {
        let (session, given) = (self.keys.session, announcement.session());
        if announcement.layout() != self.schedule.layout()
            || announcement.report_interval() != self.report_interval
        {
            return Err(RekeyError::OtherObject { session, given });
        }
        let Some(rotation) = self.keys.rotation.as_mut() else {
            return Err(RekeyError::Unasked { session, given });
        };
        if given == session || self.keys.old.is_some_and(|(old, _)| given == old) {
            return Err(RekeyError::NotNew { session });
        }
        *rotation = Rotation { next: Some(given), until: now + ROTATION };
        self.settle_key(now);
        Ok(())
    }

    /// A node is a member no more: it is dropped without a word, and the others get a new key.
    pub fn expel(&mut self, now: Instant, node: &NodeName) {
        if self.members.remove(node) && !self.is_ending() {
            // It may be who forged.
            self.keys.alarmed.clear();
            self.keys.answered = false;
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
        let alarm = matches!(report.status, ReceiverStatus::AwaitingKey | ReceiverStatus::KeyCompromised);
        // What was forged under the old key says nothing of the new one.
        if alarm && report.session == self.keys.session && !self.is_ending() {
            self.alarm(now, node);
        }
    }

    fn alarm(&mut self, now: Instant, node: &NodeName) {
        if self.keys.answered {
            return self.alarm_again(now, node);
        }
        if self.keys.alarmed.insert(node.clone()) {
            self.events.push_back(SenderEvent::KeyCompromised { node: node.clone() });
        }
        if !self.keys.is_rotating() {
            self.ask_for_key(now);
        }
    }

    /// The forger has the new key too; unless it is one node alone that says so, both times.
    fn alarm_again(&mut self, now: Instant, node: &NodeName) {
        if self.keys.alarmed.iter().eq([node]) {
            self.demote(node, Demotion::KeyCompromised);
        } else {
            self.give_up(now);
        }
    }

    fn ask_for_key(&mut self, now: Instant) {
        self.members.forget_next_key();
        self.keys.rotation = Some(Rotation { next: None, until: now + ROTATION });
        let nodes = self.members.names(|member| !member.done);
        self.events.push_back(SenderEvent::Rekey { nodes });
    }

    /// Uses the new key, if it is time to.
    pub(super) fn settle_key(&mut self, now: Instant) {
        let Some(rotation) = self.keys.rotation.as_ref() else { return };
        let over = now >= rotation.until;
        match rotation.next {
            Some(next) if over || self.members.all_have_next_key() => {
                self.keys.switch(next, now);
                // The first under the new key tells all that it is in use.
                self.heartbeats.hurry(now);
                self.events.push_back(SenderEvent::Rekeyed { session: next });
            }
            None if over => self.give_up(now),
            _ => {}
        }
    }
}
