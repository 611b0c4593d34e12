//! Reports as JSON, one a line, from two nodes in turn: whatever they say, each symbol goes out at most once under
//! a key, and there is an end.

use super::{Session, object};
use crate::fuzz::{Reader, Verdict, json, pick};
use anyhow::{Context, Result, ensure};
use bootstash_base::names::NodeName;
use bootstash_multicast::{
    Announcement, Deficit, RateLimits, ReceiverStatus, Report, Sender, SenderEvent, SessionId, Transmit,
};
use fastrand::Rng;
use std::collections::HashSet;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

/// As slow as it takes some reports to send all.
const BYTES_PER_SECOND: u64 = 3000;
/// Between reports: more often than they may come.
const BETWEEN: Duration = Duration::from_millis(90);
/// Before the first: some blocks have passed.
const BEFORE: Duration = Duration::from_secs(1);

pub(in crate::fuzz::targets) fn reports() -> Vec<Vec<u8>> {
    let sessions = [Session::First, Session::Next].map(|session| super::announcement(session, &object(0)));
    let [Ok(first), Ok(next)] = sessions.map(|read| read.map(|announcement| announcement.session())) else {
        return Vec::new();
    };
    let deficit = |block, missing| Deficit { block, missing, repair_seen: 0 };
    let listening = report(first);
    let all = [
        Report {
            heartbeat: Some(5),
            expected: 10,
            received: 9,
            deficits: vec![deficit(0, 1), deficit(1, 3)],
            ..listening.clone()
        },
        Report {
            heartbeat: Some(7),
            expected: 12,
            received: 2,
            deficits: vec![deficit(0, 8)],
            ..listening.clone()
        },
        Report { status: ReceiverStatus::AwaitingKey, ..listening.clone() },
        Report { next_session: Some(next), ..listening.clone() },
        Report { status: ReceiverStatus::KeyCompromised, ..listening.clone() },
        Report { status: ReceiverStatus::HeartbeatTimeout, ..listening.clone() },
        Report { status: ReceiverStatus::Done, ..listening },
    ];
    all.iter().filter_map(|report| serde_json::to_vec(report).ok()).collect()
}

fn report(session: SessionId) -> Report {
    Report {
        session,
        next_session: None,
        status: ReceiverStatus::Listening,
        heartbeat: None,
        expected: 0,
        received: 0,
        deficits: Vec::new(),
    }
}

/// Some as they are, some changed, some of the next session.
pub(in crate::fuzz::targets) fn mutate_reports(rng: &mut Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let line = |rng: &mut Rng| match rng.u32(..6) {
        0 | 1 => pick(rng, seeds).clone(),
        2 => String::from_utf8_lossy(pick::<Vec<u8>>(rng, seeds)).replacen("00a1", "00b2", 1).into_bytes(),
        _ => json::mutate(rng, seeds),
    };
    (0..rng.u32(1..12)).map(|_| line(rng)).collect::<Vec<_>>().join(&b'\n')
}

pub(in crate::fuzz::targets) fn open_reports() -> Reader {
    let sessions = [Session::First, Session::Next].map(|session| super::announcement(session, &object(0)));
    let start = Instant::now();
    Box::new(move |lines| {
        let [first, next] = sessions.each_ref().map(|read| read.as_ref().ok().context("no announcement"));
        Site::new(first?, next?, start)?.take(lines)
    })
}

/// A sender, and what came of it.
struct Site<'a> {
    of: &'a Announcement,
    next: &'a Announcement,
    sender: Sender,
    now: Instant,
    sent: HashSet<(u32, u16)>,
    heartbeats: HashSet<u32>,
    switched: bool,
    finished: u32,
}

impl<'a> Site<'a> {
    fn new(of: &'a Announcement, next: &'a Announcement, start: Instant) -> Result<Self> {
        let limits = RateLimits::up_to(NonZeroU64::new(BYTES_PER_SECOND).context("no rate")?);
        let sender = Sender::new(of, limits, nodes()?, start);
        let (sent, heartbeats) = (HashSet::new(), HashSet::new());
        Ok(Self { of, next, sender, now: start, sent, heartbeats, switched: false, finished: 0 })
    }

    fn take(mut self, lines: &[u8]) -> Result<Verdict> {
        self.go_on(BEFORE)?;
        let mut verdict = Verdict::Refused;
        for (line, node) in lines.split(|byte| *byte == b'\n').zip(nodes()?.iter().cycle()) {
            if let Ok(report) = serde_json::from_slice::<Report>(line) {
                let taken = self.sender.handle_report(self.now, node, &report);
                verdict = if taken.is_ok() { Verdict::Accepted } else { verdict };
            }
            self.go_on(BETWEEN)?;
        }
        self.go_on(Duration::from_secs(60))?;
        ensure!(self.sender.poll_timeout().is_none() && self.finished == 1, "no end in sight");
        Ok(verdict)
    }

    /// As a program would: by the sender's own timer, or when the time is over.
    fn go_on(&mut self, time: Duration) -> Result<()> {
        let until = self.now + time;
        for _ in 0..100_000 {
            self.send()?;
            match self.sender.poll_timeout() {
                Some(at) if at < until => self.now = self.now.max(at),
                _ => {
                    self.now = until;
                    return self.send();
                }
            }
        }
        anyhow::bail!("it is called again and again")
    }

    fn send(&mut self) -> Result<()> {
        while let Some(transmit) = self.sender.poll_transmit(self.now) {
            match transmit {
                Transmit::Heartbeat(heartbeat) => {
                    ensure!(self.heartbeats.insert(heartbeat.number), "{heartbeat:?} again")
                }
                Transmit::Symbol(at) => {
                    let layout = self.of.layout();
                    ensure!(
                        at.block < layout.blocks() && at.index < layout.symbols(at.block),
                        "there is no {at:?}"
                    );
                    ensure!(self.sent.insert((at.block, at.index)), "{at:?} again");
                }
            }
        }
        while let Some(event) = self.sender.poll_event() {
            match event {
                SenderEvent::Rekey { .. } => drop(self.sender.rekey(self.now, self.next)),
                SenderEvent::Rekeyed { .. } => ensure!(!std::mem::replace(&mut self.switched, true), "twice"),
                SenderEvent::Finished => self.finished += 1,
                _ => {}
            }
        }
        Ok(())
    }
}

fn nodes() -> Result<[NodeName; 2]> {
    Ok(["n1".parse()?, "n2".parse()?])
}
