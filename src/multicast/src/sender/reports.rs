//! Reports: which are accepted, and what they request.

use super::schedule::Requested;
use super::{Sender, SenderEvent};
use crate::members::report_problem;
use crate::report::{Deficit, ReceiverStatus, Report, ReportError};
use bootstash_base::names::NodeName;
use std::time::Instant;

impl Sender {
    /// Processes a node's report.
    ///
    /// # Errors
    /// Where the node does not take part, reports too often, or reports what is impossible.
    pub fn handle_report(
        &mut self,
        now: Instant,
        node: &NodeName,
        report: &Report,
    ) -> Result<(), ReportError> {
        self.admit(now, node, report)?;
        let asked = self.asked(report);
        let limit = self.members.outlier_above(self.schedule.layout().repairable_loss());
        let nothing_left = self.is_all_told_by(report);
        let Some(member) = self.members.get_mut(node) else { return Ok(()) };
        let demotion = member.note(now, report, asked, limit);
        member.done |= report.status == ReceiverStatus::Done;
        member.satisfied = member.done || (nothing_left && report.deficits.is_empty());
        // A report that was overtaken by the last one counts no more.
        let counts = !member.done && member.demoted.is_none();
        match demotion {
            _ if !counts => {}
            Some(why) => self.demote(node, why),
            None => self.serve(node, report),
        }
        self.note_key(now, node, report);
        self.settle_key(now);
        Ok(())
    }

    fn admit(&mut self, now: Instant, node: &NodeName, report: &Report) -> Result<(), ReportError> {
        let Some(member) = self.members.get_mut(node) else {
            return Err(ReportError::UnknownNode { node: node.clone(), session: self.keys.session() });
        };
        if !self.keys.may_be_named(report.session, now) {
            let node = node.clone();
            return Err(ReportError::Session { node, given: report.session, wanted: self.keys.session() });
        }
        if !member.admits_report(now, self.report_interval) {
            return Err(ReportError::TooOften { node: node.clone() });
        }
        let problem = report_problem(report, self.heartbeats.last())
            .or_else(|| report.deficits.iter().find_map(|deficit| self.deficit_problem(deficit)));
        problem.map_or(Ok(()), |what| Err(ReportError::Impossible { node: node.clone(), what }))
    }

    fn deficit_problem(&self, deficit: &Deficit) -> Option<&'static str> {
        if deficit.block >= self.heartbeats.blocks_sent() {
            return Some("a deficit in a block that was not sent yet");
        }
        if deficit.missing == 0 || deficit.missing > self.schedule.layout().source_symbols(deficit.block) {
            return Some("a deficit of nothing, or of more than a block");
        }
        (deficit.repair_seen > self.schedule.repair_sent_of(deficit.block))
            .then_some("repair that was not sent")
    }

    /// What part of the blocks it names a report asks for, of those whose repair it knows all of.
    fn asked(&self, report: &Report) -> f64 {
        let known =
            report.deficits.iter().filter(|deficit| self.schedule.covers(report.heartbeat, deficit.block));
        let (missing, of) = known.fold((0, 0), |(missing, of), deficit| {
            let source = u64::from(self.schedule.layout().source_symbols(deficit.block));
            (missing + u64::from(deficit.missing), of + source)
        });
        if of == 0 { 0.0 } else { missing as f64 / of as f64 }
    }

    fn is_all_told_by(&self, report: &Report) -> bool {
        let all_announced = self.heartbeats.blocks_sent() == self.schedule.layout().blocks();
        all_announced && self.schedule.covers_all(report.heartbeat)
    }

    fn serve(&mut self, node: &NodeName, report: &Report) {
        let mut beyond = Vec::new();
        for deficit in &report.deficits {
            if self.schedule.request(deficit, report.heartbeat) == Requested::TooMuch {
                beyond.push(deficit.block);
            }
        }
        if !beyond.is_empty() {
            self.events.push_back(SenderEvent::Fetch { node: node.clone(), blocks: beyond });
        }
    }
}
