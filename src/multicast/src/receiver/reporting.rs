//! What a receiver reports, and when.

use super::Receiver;
use super::blocks::Phase;
use crate::report::{DEFICITS_MAX, Deficit, ReceiverStatus, Report};
use std::time::Instant;

impl Receiver {
    /// A report, when one is due.
    pub fn poll_report(&mut self, now: Instant) -> Option<Report> {
        self.report_at.filter(|at| now >= *at)?;
        self.report_at = None;
        self.last_report = now;
        if self.keys.leave_at.is_some() && self.status == ReceiverStatus::Listening {
            return Some(self.alarm());
        }
        let (sent, received) = (self.at_heartbeat.0 - self.reported.0, self.at_heartbeat.1 - self.reported.1);
        // A few symbols say nothing of a loss.
        let tells = sent >= 64;
        self.reported = if tells { self.at_heartbeat } else { self.reported };
        Some(Report {
            session: self.keys.session(),
            next_session: self.keys.next_session(),
            status: self.status,
            heartbeat: self.heartbeat,
            expected: if tells { sent } else { 0 },
            received: if tells { received.min(sent) } else { 0 },
            deficits: self.deficits(),
        })
    }

    /// Nothing but that: the rest may be what a forger made of it.
    fn alarm(&self) -> Report {
        Report {
            session: self.keys.session(),
            next_session: self.keys.next_session(),
            status: ReceiverStatus::AwaitingKey,
            heartbeat: None,
            expected: 0,
            received: 0,
            deficits: Vec::new(),
        }
    }

    fn deficits(&self) -> Vec<Deficit> {
        if self.status != ReceiverStatus::Listening || self.fetch_all {
            return Vec::new();
        }
        let blocks = (0..self.passed).zip(&self.blocks).filter(|(_, state)| !state.by_unicast);
        let deficits = blocks.filter_map(|(block, state)| {
            let missing = match &state.phase {
                Phase::Empty => self.announcement.layout().source_symbols(block),
                Phase::Open(open) => open.missing(),
                Phase::Assembling | Phase::Done => return None,
            };
            Some(Deficit { block, missing, repair_seen: state.repair_seen })
        });
        deficits.take(DEFICITS_MAX).collect()
    }
}
