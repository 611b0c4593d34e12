//! What a tool costs: time, what the sender's interface sent, and the processor time of each end.

use crate::lab::Host;
use anyhow::{Context, Result};
use nix::unistd::Pid;
use std::time::Instant;

/// The unit of times below `/proc`: the same on every kernel that bootstash runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Runs from the moment when something is sent until the last node has it.
#[derive(Debug)]
pub(super) struct Meter<'a> {
    storage: &'a Host,
    begun: Instant,
    sent_bytes: u64,
    sender: f64,
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    process: Pid,
    before: f64,
    took: f64,
}

/// What a meter read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Reading {
    pub(super) seconds: f64,
    pub(super) sent_bytes: u64,
    pub(super) sender_cpu_seconds: f64,
    /// Of the node in the middle.
    pub(super) receiver_cpu_seconds: f64,
}

impl<'a> Meter<'a> {
    /// Begins now. `sender` is none where it is yet to be started.
    pub(super) fn begin(storage: &'a Host, sender: Option<Pid>, nodes: &[Pid]) -> Result<Self> {
        let node = |process: &Pid| Ok(Node { process: *process, before: cpu_seconds(*process)?, took: 0.0 });
        Ok(Self {
            storage,
            begun: Instant::now(),
            sent_bytes: storage.traffic()?.sent_bytes,
            sender: sender.map_or(Ok(0.0), cpu_seconds)?,
            nodes: nodes.iter().map(node).collect::<Result<_>>()?,
        })
    }

    /// This node has everything.
    pub(super) fn arrived(&mut self, node: usize) -> Result<()> {
        let node = &mut self.nodes[node];
        node.took = cpu_seconds(node.process)? - node.before;
        Ok(())
    }

    /// Ends now, when the last has arrived. The sender may have ended, but must not have been waited for.
    pub(super) fn end(self, sender: Pid) -> Result<Reading> {
        Ok(Reading {
            seconds: self.begun.elapsed().as_secs_f64(),
            sent_bytes: self.storage.traffic()?.sent_bytes - self.sent_bytes,
            sender_cpu_seconds: cpu_seconds(sender)? - self.sender,
            receiver_cpu_seconds: median(self.nodes.iter().map(|node| node.took).collect()),
        })
    }
}

/// User and system time of a process and of the children that it waited for.
fn cpu_seconds(process: Pid) -> Result<f64> {
    let path = format!("/proc/{process}/stat");
    let stat = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    parse_cpu(&stat).with_context(|| format!("{path} tells no times"))
}

/// The name in parentheses can hold anything; fields 14 to 17 are the times.
fn parse_cpu(stat: &str) -> Option<f64> {
    let fields = stat.rsplit_once(')')?.1.split_whitespace();
    let ticks: Vec<f64> = fields.skip(11).take(4).filter_map(|field| field.parse().ok()).collect();
    (ticks.len() == 4).then(|| ticks.iter().sum::<f64>() / TICKS_PER_SECOND)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (upper, lower) = (values.len() / 2, values.len().saturating_sub(1) / 2);
    if values.is_empty() { 0.0 } else { f64::midpoint(values[lower], values[upper]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kernels_times() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 9 0 0 0 150 50 7 3 20 0 4 0 100 0 0\n";
        assert_eq!(parse_cpu(stat), Some(2.1));
        assert_eq!(parse_cpu("7 (a) S 1"), None);
    }

    #[test]
    fn the_node_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
