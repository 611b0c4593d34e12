//! The tables of nodes and of registrations, as words. Pure.

use super::columns::Column;
use crate::cluster::RegistrarView;
use crate::jobs::{seconds_taken, state_and_result, tenths_done};
use crate::nodes::problem;
use crate::register::under_way;
use crate::render::{age, guest_text, or_dash, seconds, short_snapshot};
use bootstash_net::api::{JobOutcome, JobView, NodeView};
use chrono::{DateTime, Utc};

/// How many cells of a bar there are.
const BAR_CELLS: usize = 10;

/// How a row stands out; its words say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// As all should be.
    Well,
    /// Something goes on.
    Busy,
    /// Somebody should look at it.
    Bad,
    /// Over and done with.
    Past,
}

/// A table before it is fitted.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) columns: &'static [Column],
    pub(super) rows: Vec<Vec<String>>,
    /// One a row.
    pub(super) tones: Vec<Tone>,
}

const fn words(heading: &'static str, dispensable: u8) -> Column {
    Column { heading, is_quantity: false, shrinks_to: None, dispensable }
}

const fn quantity(heading: &'static str, dispensable: u8) -> Column {
    Column { heading, is_quantity: true, shrinks_to: None, dispensable }
}

const fn shrinking(heading: &'static str, to: usize, dispensable: u8) -> Column {
    Column { heading, is_quantity: false, shrinks_to: Some(to), dispensable }
}

const NODES: [Column; 6] = [
    shrinking("NAME", 10, 0),
    words("SNAPSHOT", 3),
    quantity("LAG", 0),
    quantity("LAST CONTACT", 2),
    words("VERSION", 4),
    shrinking("PROBLEM", 12, 1),
];

const JOBS: [Column; 6] = [
    quantity("JOB", 3),
    shrinking("IMAGE", 10, 0),
    words("STATE", 0),
    words("PROGRESS", 2),
    quantity("TOOK", 4),
    shrinking("RESULT", 12, 1),
];

/// Nodes, those that need a look first.
pub(super) fn nodes(registrar: &RegistrarView, now: DateTime<Utc>) -> Table {
    let nodes = registrar.nodes_worst_first();
    let rows = nodes.iter().map(|node| node_row(node, now)).collect();
    let tones = nodes.iter().map(|node| node_tone(node, now)).collect();
    Table { columns: &NODES, rows, tones }
}

fn node_row(node: &NodeView, now: DateTime<Utc>) -> Vec<String> {
    vec![
        node.name.to_string(),
        or_dash(node.snapshot.as_ref().map(short_snapshot)),
        or_dash(node.lag),
        age(node.last_contact, now),
        or_dash(node.version.as_deref().map(guest_text)),
        or_dash(problem(node, now)),
    ]
}

fn node_tone(node: &NodeView, now: DateTime<Utc>) -> Tone {
    match node.lag {
        _ if problem(node, now).is_some() => Tone::Bad,
        Some(0) => Tone::Well,
        _ => Tone::Busy,
    }
}

/// Registrations, those under way first.
pub(super) fn jobs(registrar: &RegistrarView) -> Table {
    let jobs = registrar.jobs_under_way_first();
    let rows = jobs.iter().map(|job| job_row(job)).collect();
    let tones = jobs.iter().map(|job| job_tone(job)).collect();
    Table { columns: &JOBS, rows, tones }
}

fn job_row(job: &JobView) -> Vec<String> {
    let (state, result) = state_and_result(job);
    let result = if job.outcome.is_some() { result } else { doing(job) };
    let took = seconds(seconds_taken(job));
    vec![job.id.to_string(), job.name.to_string(), state, bar(job), took, result]
}

/// What it does, with the guest's newest line.
fn doing(job: &JobView) -> String {
    let console = job.progress.console_line.as_deref().map(guest_text).filter(|line| !line.is_empty());
    match console {
        Some(line) => format!("{} | {line}", guest_text(&under_way(job))),
        None => guest_text(&under_way(job)),
    }
}

fn job_tone(job: &JobView) -> Tone {
    match &job.outcome {
        None => Tone::Busy,
        Some(JobOutcome::Failed { .. }) => Tone::Bad,
        Some(JobOutcome::Registered { .. } | JobOutcome::Cancelled { .. }) => Tone::Past,
    }
}

/// How far a registration is, by its steps; nothing for one that has ended.
fn bar(job: &JobView) -> String {
    if job.outcome.is_some() {
        return String::new();
    }
    let tenths = tenths_done(job);
    "█".repeat(tenths) + &"░".repeat(BAR_CELLS - tenths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::samples;

    #[test]
    fn nodes_tell_what_is_wrong_in_words_and_tone() {
        let table = nodes(&samples::registrar(), samples::now());
        assert_eq!(table.rows[0], ["compute-17", "-", "-", "3 s", "-", "the pool is full"]);
        assert_eq!(table.rows[2], ["node2", "bs-000042", "3", "3 s", "0.1.0", "-"]);
        assert_eq!(table.tones, [Tone::Bad, Tone::Bad, Tone::Busy, Tone::Well]);
    }

    #[test]
    fn registrations_tell_how_far_they_are() {
        let table = jobs(&samples::registrar());
        assert_eq!(table.rows[0][2..4], ["capture", "███░░░░░░░"]);
        assert!(table.rows[0][5].ends_with("| [ OK ] Started ssh"), "{:?}", table.rows[0]);
        assert_eq!(table.rows[1][2..4], ["import", "███████░░░"]);
        assert_eq!(table.rows[2][2], "waiting");
        assert!(table.rows[2][5].contains("waits for another capture"), "{:?}", table.rows[2]);
        assert_eq!(table.rows[3][2..], ["done", "", "130.9 s", "bs-000042, delta 33M"]);
        assert_eq!(table.tones, [Tone::Busy, Tone::Busy, Tone::Busy, Tone::Past, Tone::Bad]);
        assert!(table.rows.iter().all(|row| row.len() == table.columns.len()));
    }
}
