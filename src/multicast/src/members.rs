//! The nodes of a session, as the sender sees them: who is waited for, and who no longer.
//!
//! Promises: a node is waited for only while it reports, receives heartbeats, and loses no more than others do.

use super::rate::percentile;
use super::report::{ReceiverStatus, Report};
use super::wire::Heartbeat;
use bootstash_base::names::NodeName;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A node without a report for this long is not waited for.
const REPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// No less than this is ever an outlier's loss.
const OUTLIER_LOSS: f64 = 0.10;
/// In terms of the median.
const OUTLIER_TIMES_MEDIAN: f64 = 3.0;
/// Bad reports in a row, over at least a second: a host that stalls once is no outlier.
const OUTLIER_REPORTS: u8 = 3;
const OUTLIER_FOR: Duration = Duration::from_secs(1);
/// Reports that are accepted in one interval.
const REPORTS_AT_ONCE: u8 = 4;

/// Why a node is no longer waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Demotion {
    /// It did not report.
    ReportTimeout,
    /// It reports that no heartbeat reaches it.
    HeartbeatTimeout,
    /// It received blocks that are not as announced, and no other key in time; or it alone reports so, again.
    KeyCompromised,
    /// It loses, or asks for, far more than others.
    Outlier,
    /// It made no progress until the end.
    Stalled,
    /// Too many lose too much: all go on by unicast.
    GaveUp,
}

#[derive(Debug)]
pub(super) struct Member {
    last_report_at: Instant,
    window: (Instant, u8),
    /// The fraction it lost lately, once enough was sent to tell.
    loss: Option<f64>,
    outlier_reports: Option<(Instant, u8)>,
    /// Lacks nothing that this session could still give it.
    pub(super) satisfied: bool,
    /// Has the whole object, and reports no more.
    pub(super) done: bool,
    /// Has the key that comes next.
    pub(super) has_next_key: bool,
    pub(super) demoted: Option<Demotion>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Members {
    of: BTreeMap<NodeName, Member>,
    /// Counted anew after the rate was halved.
    pub(super) outliers: usize,
}

impl Members {
    pub(super) fn add(&mut self, now: Instant, node: NodeName, has_next_key: bool) {
        let member = Member {
            last_report_at: now,
            window: (now, 0),
            loss: None,
            outlier_reports: None,
            satisfied: false,
            done: false,
            has_next_key,
            demoted: None,
        };
        self.of.insert(node, member);
    }

    pub(super) fn get_mut(&mut self, node: &NodeName) -> Option<&mut Member> {
        self.of.get_mut(node)
    }

    /// Whether it took part.
    pub(super) fn remove(&mut self, node: &NodeName) -> bool {
        self.of.remove(node).is_some()
    }

    /// Nobody has the key that comes next, any more.
    pub(super) fn forget_next_key(&mut self) {
        self.of.values_mut().for_each(|member| member.has_next_key = false);
    }

    /// Whether all who still listen have the key that comes next.
    pub(super) fn all_have_next_key(&self) -> bool {
        self.active().all(|(_, member)| member.has_next_key || member.done)
    }

    /// Whether it was waited for until now.
    pub(super) fn demote(&mut self, node: &NodeName, why: Demotion) -> bool {
        let Some(member) = self.of.get_mut(node).filter(|member| member.demoted.is_none()) else {
            return false;
        };
        member.demoted = Some(why);
        self.outliers += usize::from(why == Demotion::Outlier);
        true
    }

    /// Whether a node that was sent to unicast still listens, and has not reported since. Outliers report no more:
    /// for them heartbeats go on as long as they may.
    pub(super) fn awaits_final_report(&self, since: Instant) -> bool {
        let listens = [Demotion::GaveUp, Demotion::Stalled, Demotion::Outlier].map(Some);
        let mut all = self.of.values();
        all.any(|member| listens.contains(&member.demoted) && !member.done && member.last_report_at <= since)
    }

    /// Those that are waited for.
    pub(super) fn active(&self) -> impl Iterator<Item = (&NodeName, &Member)> {
        self.of.iter().filter(|(_, member)| member.demoted.is_none())
    }

    pub(super) fn count(&self) -> usize {
        self.of.len()
    }

    /// Those of whom `is` holds, of those that are waited for.
    pub(super) fn names(&self, is: impl Fn(&Member) -> bool) -> Vec<NodeName> {
        self.active().filter(|(_, member)| is(member)).map(|(node, _)| node.clone()).collect()
    }

    pub(super) fn losses(&self) -> Vec<f64> {
        self.active().filter_map(|(_, member)| member.loss).collect()
    }

    /// What is too much to lose: far more than others do, or more than can be `repairable`.
    pub(super) fn outlier_above(&self, repairable: f64) -> f64 {
        let median = percentile(&mut self.losses(), 0.5).unwrap_or_default();
        (median * OUTLIER_TIMES_MEDIAN).max(OUTLIER_LOSS).min(repairable)
    }
}

impl Member {
    /// Whether one more report may come now.
    pub(super) fn admits_report(&mut self, now: Instant, every: Duration) -> bool {
        if now >= self.window.0 + every {
            self.window = (now, 0);
        }
        self.window.1 = self.window.1.saturating_add(1);
        self.window.1 <= REPORTS_AT_ONCE
    }

    /// Records a report that asks for this fraction of what was sent; says why the node is no longer waited for,
    /// if so.
    pub(super) fn note(&mut self, now: Instant, report: &Report, asked: f64, limit: f64) -> Option<Demotion> {
        self.last_report_at = now;
        if report.expected > 0 {
            self.loss = Some(1.0 - report.received as f64 / report.expected as f64);
        }
        match report.status {
            ReceiverStatus::HeartbeatTimeout => Some(Demotion::HeartbeatTimeout),
            ReceiverStatus::KeyCompromised => Some(Demotion::KeyCompromised),
            ReceiverStatus::Done | ReceiverStatus::AwaitingKey => None,
            ReceiverStatus::Listening => self
                .count_outlier_report(now, asked.max(self.loss.unwrap_or_default()) > limit)
                .then_some(Demotion::Outlier),
        }
    }

    fn count_outlier_report(&mut self, now: Instant, bad: bool) -> bool {
        if !bad {
            self.outlier_reports = None;
            return false;
        }
        let (since, count) = self.outlier_reports.unwrap_or((now, 0));
        let count = count.saturating_add(1);
        self.outlier_reports = Some((since, count));
        count >= OUTLIER_REPORTS && now >= since + OUTLIER_FOR
    }

    pub(super) fn is_silent(&self, now: Instant) -> bool {
        !self.satisfied && now >= self.last_report_at + REPORT_TIMEOUT
    }
}

/// What in a report is impossible by itself; `last` is the last heartbeat sent, if any.
pub(super) fn report_problem(report: &Report, last: Option<&Heartbeat>) -> Option<&'static str> {
    let heartbeats = last.map_or(0, |heartbeat| u64::from(heartbeat.number) + 1);
    if report.heartbeat.is_some_and(|heartbeat| u64::from(heartbeat) >= heartbeats) {
        return Some("a heartbeat that was not sent");
    }
    if report.received > report.expected
        || report.expected > last.map_or(0, |heartbeat| heartbeat.symbols_sent)
    {
        return Some("more symbols than were sent");
    }
    (report.deficits.len() > super::report::DEFICITS_MAX).then_some("more blocks than one report may name")
}
