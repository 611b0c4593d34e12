//! What the demo found out, for people: tables of at most 100 columns. Pure.

use super::narrate::size;
use super::report::Report;
use comfy_table::{CellAlignment, Table, presets};

/// The report as text.
pub fn render(report: &Report) -> String {
    let volume = &report.volume;
    [
        images(report),
        boots(report),
        nodes(report),
        propagation(report),
        format!(
            "Volume: {} of boot caches take {} in the pool (dedup {:.2}x, compression {:.2}x)",
            size(volume.logical_bytes),
            size(volume.used_bytes),
            volume.dedup_ratio,
            volume.compress_ratio
        ),
    ]
    .join("\n\n")
}

fn propagation(report: &Report) -> String {
    let sent = &report.propagation;
    format!(
        "To the {} nodes: {} sent once by multicast, {} of repair, {} by unicast",
        report.nodes.len(),
        size(sent.sent_once_bytes),
        size(sent.repair_bytes),
        size(sent.unicast_bytes)
    )
}

fn images(report: &Report) -> String {
    let mut table = new(["IMAGE", "IMAGE SIZE", "BOOT CACHE", "BOOTS", "REGISTERED IN", "DELTA"]);
    for image in &report.images {
        table.add_row([
            image.name.clone(),
            size(image.image_bytes),
            size(image.cache_bytes),
            image.boots.to_string(),
            format!("{:.0} s", image.register_seconds),
            size(image.delta_bytes),
        ]);
    }
    finish(table)
}

fn boots(report: &Report) -> String {
    let mut table =
        new(["BOOTED WITHOUT ITS BASE", "NODE", "LOGIN PROMPT AFTER", "READ FROM BASE", "NETWORK"]);
    for boot in &report.boots {
        table.add_row([
            boot.image.clone(),
            boot.node.clone(),
            format!("{:.0} s", boot.seconds),
            format!("{} bytes", boot.base_bytes_read),
            format!("{} bytes", boot.network_bytes),
        ]);
    }
    finish(table)
}

fn nodes(report: &Report) -> String {
    let mut table = new(["NODE", "SNAPSHOT", "BEHIND", "AGENT MEMORY"]);
    for node in &report.nodes {
        let (behind, memory) = (node.lag.to_string(), size(node.agent_rss_bytes));
        table.add_row([node.name.clone(), node.snapshot.clone(), behind, memory]);
    }
    finish(table)
}

/// An empty table with these headings.
pub(crate) fn new<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header);
    table
}

/// Names to the left, figures to the permission, no blanks at line ends.
pub(crate) fn finish(mut table: Table) -> String {
    for (number, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if number > 0 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::super::report::{ImageReport, NodeReport, PropagationReport, VolumeReport};
    use super::*;
    use crate::lab::warm_boot::WarmBoot;

    #[test]
    fn is_at_most_100_columns_wide_and_never_wraps() {
        let report = Report {
            images: vec![ImageReport {
                name: "debian12-nginx".to_owned(),
                image_bytes: 3 << 30,
                cache_bytes: 124 << 20,
                boots: 2,
                register_seconds: 183.2,
                delta_bytes: 66 << 20,
            }],
            nodes: vec![NodeReport {
                name: "node1".to_owned(),
                snapshot: "bs-000003-20261121T101530Z".to_owned(),
                lag: 0,
                agent_rss_bytes: 22 << 20,
            }],
            boots: vec![WarmBoot {
                image: "debian12-nginx".to_owned(),
                node: "node1".to_owned(),
                seconds: 71.0,
                base_bytes_read: 0,
                base_reads: Vec::new(),
                network_bytes: 12_345,
            }],
            volume: VolumeReport {
                logical_bytes: 270 << 20,
                used_bytes: 90 << 20,
                dedup_ratio: 1.9,
                compress_ratio: 2.1,
            },
            propagation: PropagationReport {
                sent_once_bytes: 100 << 20,
                repair_bytes: 1 << 20,
                unicast_bytes: 0,
            },
        };
        let text = render(&report);
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        assert_eq!(text.lines().filter(|line| line.contains("debian12-nginx")).count(), 2, "{text}");
        assert!(text.contains("0 bytes"), "{text}");
    }
}
