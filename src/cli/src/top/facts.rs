//! What stands above the tables: short facts, as many a line as fit. Pure.

use crate::cluster::{AgentView, ClusterView, RegistrarView};
use crate::render::{clip, short_snapshot, size};
use crate::status::{flavor, state};
use bootstash_zfs::Usage;
use unicode_width::UnicodeWidthStr;

const BETWEEN: &str = "   ";

/// The registrar and what it counts.
pub(super) fn of_registrar(registrar: &RegistrarView) -> Vec<String> {
    let (status, totals) = (&registrar.status, registrar.totals());
    let snapshot = status.snapshot.as_ref().map_or_else(
        || "no snapshot yet".to_owned(),
        |newest| format!("snapshot {} of {}", short_snapshot(newest), status.snapshots),
    );
    vec![
        format!("registrar {} on {}", status.version, flavor(status.zfs)),
        format!("images {}", status.images),
        snapshot,
        format!("nodes {} of {} in step", totals.nodes_in_step, totals.nodes),
        format!("registering {}", totals.jobs_under_way),
        format!("deltas {}", size(status.delta_bytes)),
    ]
}

/// The agent of this host.
pub(super) fn of_agent(agent: &AgentView) -> Vec<String> {
    let status = &agent.status;
    let snapshot = status.snapshot.as_ref().map(|newest| format!("snapshot {}", short_snapshot(newest)));
    let mut facts = vec![
        format!("agent {} on {}, node {}", status.version, flavor(status.zfs), status.node),
        state(&status.state),
        format!("images {}", status.images),
    ];
    facts.extend(snapshot);
    facts.push(format!("overlays {}", status.overlays));
    facts.push(format!("views {}", status.views));
    facts.push(format!("memory {}", size(status.rss_bytes)));
    facts
}

/// ZFS, with a bar of what is used.
pub(super) fn of_zfs(usage: &Usage, bar_cells: usize) -> Vec<String> {
    let total = usage.used_bytes.saturating_add(usage.available_bytes);
    let cells = u128::from(usage.used_bytes) * bar_cells as u128 / u128::from(total.max(1));
    let cells = usize::try_from(cells).unwrap_or(bar_cells).min(bar_cells);
    let bar = "█".repeat(cells) + &"░".repeat(bar_cells - cells);
    let mut facts = vec![
        format!("pool {bar} {} of {}", size(usage.used_bytes), size(total)),
        format!("logical {}", size(usage.logical_bytes)),
        format!("dedup {:.2}x", usage.dedup_ratio),
        format!("compression {:.2}x", usage.compress_ratio),
    ];
    facts.extend(usage.dedup_table.map(|table| match table.quota_bytes {
        Some(quota) => format!("dedup table {} of {}", size(table.bytes), size(quota)),
        None => format!("dedup table {}", size(table.bytes)),
    }));
    facts
}

/// All of them.
pub(super) fn all(view: &ClusterView, width: usize) -> Vec<String> {
    let bar_cells = (width / 4).min(30);
    let registrar = view.registrar.as_ref().map(of_registrar);
    let agent = view.agent.as_ref().map(of_agent);
    let zfs = view.usage().map(|usage| of_zfs(usage, bar_cells));
    registrar.into_iter().chain(agent).chain(zfs).flat_map(|facts| flow(&facts, width)).collect()
}

/// Facts beside each other, none broken; one that is wider than a line ends with an ellipsis.
pub(super) fn flow(facts: &[String], width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for fact in facts {
        match lines.last_mut() {
            Some(line) if line.width() + BETWEEN.len() + fact.width() <= width => {
                line.push_str(BETWEEN);
                line.push_str(fact);
            }
            _ => lines.push(clip(fact, width)),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::samples;

    #[test]
    fn no_fact_is_broken_and_no_line_too_wide() {
        for width in 1..150 {
            for line in all(&samples::view(), width) {
                assert!(line.width() <= width, "{width}: {line}");
            }
        }
        let lines = all(&samples::view(), 80);
        assert_eq!(lines[0], "registrar 0.1.0 on OpenZFS   images 2   snapshot bs-000042 of 12");
        assert_eq!(lines[1], "nodes 2 of 4 in step   registering 3   deltas 90M");
        assert_eq!(lines[2], "pool ░░░░░░░░░░░░░░░░░░░░ 96M of 12.1G   logical 372M   dedup 1.91x");
        assert_eq!(lines[3], "compression 2.00x   dedup table 3M of 64M");
    }

    #[test]
    fn a_pool_of_nothing_and_one_that_is_full_have_a_bar() {
        let usage = |used_bytes, available_bytes| Usage { used_bytes, available_bytes, ..samples::usage() };
        assert_eq!(of_zfs(&usage(0, 0), 4)[0], "pool ░░░░ 0B of 0B");
        assert_eq!(of_zfs(&usage(u64::MAX, u64::MAX), 4)[0], "pool ████ 16E of 16E");
        assert_eq!(of_zfs(&usage(1, 1), 4)[0], "pool ██░░ 1B of 2B");
    }
}
