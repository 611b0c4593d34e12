//! One object to eight nodes, by several tools beside each other: how long it takes, what the sender sends,
//! and what both ends compute. Each end is a process of its own, on a host of its own.

mod bench_lab;
pub mod daemons;
mod meter;
mod ours;
mod table;
mod uftp;

pub use table::render;

use anyhow::{Context, Result};
use bench_lab::BenchLab;
use clap::ValueEnum;
use meter::Reading;
use serde::Serialize;
use std::time::Duration;

/// How many nodes there are.
pub const NODES: usize = 8;
/// What everybody may send: 100 Mbit/s.
const RATE_BYTES_PER_SECOND: u64 = 12_500_000;
/// Where multicast goes. Tools do not run at the same time.
const GROUP: &str = "239.77.66.1";
const GROUP_PORT: u16 = 7434;

/// What sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Tool {
    /// bootstash, by multicast.
    Bootstash,
    /// uftp, at a fixed rate.
    Uftp,
    /// bootstash without multicast: every node has a copy of its own over TLS.
    HttpCopies,
}

/// What to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The tools to compare.
    pub tools: Vec<Tool>,
    /// What nodes lose, in percent.
    pub losses: Vec<f64>,
    /// Size of the object.
    pub object_bytes: u64,
    /// The same where every node has its own copy, which takes as many times longer.
    pub copied_bytes: u64,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// What sent.
    pub tool: Tool,
    /// What every node lost of what came in, in percent.
    pub loss_percent: f64,
    /// How many nodes receive.
    pub nodes: usize,
    /// Size of the object.
    pub object_bytes: u64,
    /// From the beginning until the last node had it.
    pub seconds: f64,
    /// All that the sender's interface sent meanwhile, over the object's size.
    pub wire_ratio: f64,
    /// User and system time of the sender's process meanwhile.
    pub sender_cpu_seconds: f64,
    /// The same of a node until it had it: the median.
    pub receiver_cpu_seconds: f64,
}

/// Measures everything, in a lab of its own which is gone at the end. Tells of each row as it comes.
///
/// # Errors
/// When a tool does not bring the whole object to every node.
pub fn run(plan: &Plan, on_row: impl Fn(&Row)) -> Result<Vec<Row>> {
    let bench = BenchLab::build()?;
    let mut rows = Vec::new();
    for &loss_percent in &plan.losses {
        for &tool in &plan.tools {
            let row = measure(&bench, plan, tool, loss_percent)
                .with_context(|| format!("{} at a loss of {loss_percent} %", tool.name()))?;
            on_row(&row);
            rows.push(row);
        }
    }
    Ok(rows)
}

fn measure(bench: &BenchLab, plan: &Plan, tool: Tool, loss_percent: f64) -> Result<Row> {
    bench.clear()?;
    let copied = tool == Tool::HttpCopies;
    let bytes = if copied { plan.copied_bytes } else { plan.object_bytes };
    let (object_bytes, reading) = match tool {
        Tool::Uftp => uftp::measure(bench, bytes, loss_percent)?,
        Tool::Bootstash | Tool::HttpCopies => ours::measure(bench, tool, bytes, loss_percent)?,
    };
    Ok(Row::of(tool, loss_percent, object_bytes, reading))
}

impl Row {
    fn of(tool: Tool, loss_percent: f64, object_bytes: u64, reading: Reading) -> Self {
        Self {
            tool,
            loss_percent,
            nodes: NODES,
            object_bytes,
            seconds: reading.seconds,
            wire_ratio: reading.sent_bytes as f64 / object_bytes as f64,
            sender_cpu_seconds: reading.sender_cpu_seconds,
            receiver_cpu_seconds: reading.receiver_cpu_seconds,
        }
    }
}

impl Tool {
    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bootstash => "bootstash",
            Self::Uftp => "uftp",
            Self::HttpCopies => "HTTP copies",
        }
    }
}

/// Twice what it takes to send it to each node in turn, and a minute: what is not there by then hangs.
fn deadline(bytes: u64) -> Duration {
    Duration::from_secs(60 + 2 * bytes * NODES as u64 / RATE_BYTES_PER_SECOND)
}
