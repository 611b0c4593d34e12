//! A session under way: its sender, and the instructions that go back with each node's next report.

use super::object::Object;
use bootstash_base::error::{Chain, Classified, ErrorClass};
use bootstash_base::names::NodeName;
use bootstash_multicast::{
    Announcement, Demotion, Group, Instruction, RateLimits, Report, ReportError, Sender, SenderEvent,
    SessionId, Transmit,
};
use bootstash_net::api::{ReportReply, SessionReply};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Sending wakes up no more often: what is due until then goes out in few calls.
const WAKE_INTERVAL_MIN: Duration = Duration::from_millis(2);
/// And at least so often, to see whether it is to stop.
const WAKE_INTERVAL_MAX: Duration = Duration::from_millis(100);

/// One session. Handlers report to it while its task sends.
#[derive(Debug)]
pub struct Session {
    group: Group,
    bytes_per_second: NonZeroU64,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug)]
struct State {
    /// The latest.
    announcement: Announcement,
    /// All names it has had.
    names: Vec<SessionId>,
    /// To be sealed with from the next datagram on.
    new_key: Option<Announcement>,
    sender: Sender,
    nodes: BTreeSet<NodeName>,
    replies: BTreeMap<NodeName, Vec<Instruction>>,
    demoted: BTreeMap<&'static str, u64>,
    gave_up: bool,
}

/// A report is for no session here.
#[derive(Debug, thiserror::Error)]
pub enum SessionReportError {
    /// It is over, or was never here.
    #[error(
        "there is no multicast session {session}; it is over, or the registrar was restarted: fetch what is lacking"
    )]
    UnknownSession {
        /// As reported.
        session: SessionId,
    },
    /// It is refused.
    #[error(transparent)]
    Report(#[from] ReportError),
}

impl Classified for SessionReportError {
    fn kind(&self) -> ErrorClass {
        match self {
            Self::UnknownSession { .. } => ErrorClass::Permanent,
            Self::Report(error) => error.kind(),
        }
    }
}

/// What is to be done next.
pub(super) enum Next {
    /// Send these, now; under the new key, if there is one.
    Send {
        /// The new key.
        new_key: Option<Box<Announcement>>,
        /// What to send.
        due: Vec<Transmit>,
    },
    /// Ask again.
    Again,
    /// Nothing; it is over.
    Over,
}

impl Session {
    pub(super) fn new(
        group: Group,
        object: &Object,
        bytes_per_second: NonZeroU64,
        nodes: &BTreeSet<NodeName>,
    ) -> Self {
        let limits = RateLimits::up_to(bytes_per_second);
        let announcement = object.announcement.clone();
        let sender = Sender::new(&announcement, limits, nodes.iter().cloned(), Instant::now());
        let state = State {
            names: vec![announcement.session()],
            announcement,
            new_key: None,
            sender,
            nodes: nodes.clone(),
            replies: BTreeMap::new(),
            demoted: BTreeMap::new(),
            gave_up: false,
        };
        Self { group, bytes_per_second, state: Mutex::new(state), wake: Condvar::new() }
    }

    /// Takes in one more node; not where all went out once, since it had to fetch everything anyway.
    pub(super) fn admit(&self, node: &NodeName) -> bool {
        let mut state = self.lock();
        if state.nodes.contains(node) {
            return true;
        }
        let open = !state.sender.is_source_out();
        if open {
            state.nodes.insert(node.clone());
            state.sender.add_node(Instant::now(), node.clone());
        }
        open
    }

    /// What a node must know to take part.
    pub(super) fn reply(&self) -> SessionReply {
        SessionReply {
            group: self.group,
            bytes_per_second: self.bytes_per_second,
            announcement: self.lock().announcement.clone(),
        }
    }

    pub(super) fn is(&self, session: SessionId) -> bool {
        self.lock().names.contains(&session)
    }

    /// The rate limit from now on.
    pub(super) fn limit(&self, bytes_per_second: u64) {
        if let Some(rate) = NonZeroU64::new(bytes_per_second) {
            self.lock().sender.limit(Instant::now(), RateLimits::up_to(rate));
        }
    }

    pub(super) fn report(&self, node: &NodeName, report: &Report) -> Result<ReportReply, SessionReportError> {
        let mut state = self.lock();
        state.sender.handle_report(Instant::now(), node, report)?;
        state.handle_events();
        let tell = state.replies.remove(node).unwrap_or_default();
        drop(state);
        self.wake.notify_one();
        Ok(tell)
    }

    /// What to send next, at most `most`; waits a while where there is nothing yet.
    pub(super) fn next(&self, most: usize) -> Next {
        let mut state = self.lock();
        let now = Instant::now();
        // A change of key comes here, and not between what is due at the same moment.
        state.sender.handle_timeout(now);
        state.handle_events();
        let new_key = state.new_key.take().map(Box::new);
        let due: Vec<Transmit> = std::iter::from_fn(|| state.sender.poll_transmit(now)).take(most).collect();
        state.handle_events();
        if !due.is_empty() || new_key.is_some() {
            return Next::Send { new_key, due };
        }
        let Some(until) = state.sender.poll_timeout() else { return Next::Over };
        let wait = until.saturating_duration_since(now).clamp(WAKE_INTERVAL_MIN, WAKE_INTERVAL_MAX);
        drop(self.wake.wait_timeout(state, wait));
        Next::Again
    }

    /// It is a member no more.
    pub(super) fn expel(&self, node: &NodeName) {
        let mut state = self.lock();
        state.nodes.remove(node);
        state.sender.expel(Instant::now(), node);
        state.handle_events();
    }

    /// The part that nodes lose (the 90th percentile of them), and bytes a second, lately.
    pub(super) fn loss_and_rate(&self) -> (f64, f64) {
        let state = self.lock();
        (state.sender.loss().unwrap_or_default(), state.sender.bytes_per_second())
    }

    /// Why nodes were sent to unicast, and how many; whether all were.
    pub(super) fn demoted(&self) -> (BTreeMap<&'static str, u64>, bool) {
        let state = self.lock();
        (state.demoted.clone(), state.gave_up)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn handle_events(&mut self) {
        while let Some(event) = self.sender.poll_event() {
            match event {
                SenderEvent::Fetch { node, blocks } => self.reply(node, Instruction::Fetch(blocks)),
                SenderEvent::Demoted { node, why } => {
                    tracing::info!(%node, why = name(why), "a node goes on by unicast");
                    *self.demoted.entry(name(why)).or_default() += 1;
                    self.reply(node, Instruction::FetchAll);
                }
                SenderEvent::KeyCompromised { node } => {
                    tracing::warn!(
                        %node,
                        "somebody who knows a multicast session's key sends what was not announced; nothing of it is kept"
                    );
                }
                SenderEvent::Rekey { nodes } => self.rekey(nodes),
                SenderEvent::Rekeyed { .. } => {
                    tracing::info!("the key of a multicast session was changed");
                    self.new_key = Some(self.announcement.clone());
                }
                SenderEvent::GaveUp => self.gave_up = true,
                SenderEvent::Finished => (),
            }
        }
    }

    /// Where there is no new key, the sender gives multicast up.
    fn rekey(&mut self, nodes: Vec<NodeName>) {
        let made = self.announcement.rekeyed().map_err(|error| Chain(&error).to_string());
        let handed = made.and_then(|made| {
            let handed = self.sender.rekey(Instant::now(), &made);
            handed.map(|()| made).map_err(|error| Chain(&error).to_string())
        });
        match handed {
            Ok(made) => {
                self.names.push(made.session());
                let instruction = Instruction::Rekey(Box::new(made.clone()));
                self.announcement = made;
                nodes.into_iter().for_each(|node| self.reply(node, instruction.clone()));
            }
            Err(error) => tracing::warn!(error, "the key of a multicast session cannot be changed"),
        }
    }

    fn reply(&mut self, node: NodeName, instruction: Instruction) {
        self.replies.entry(node).or_default().push(instruction);
    }
}

/// For logs and metrics.
fn name(why: Demotion) -> &'static str {
    match why {
        Demotion::ReportTimeout => "silent",
        Demotion::HeartbeatTimeout => "unheard",
        Demotion::KeyCompromised => "poisoned",
        Demotion::Outlier => "outlier",
        Demotion::Stalled => "stalled",
        Demotion::GaveUp => "gave-up",
    }
}
