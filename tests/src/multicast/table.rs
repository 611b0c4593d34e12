//! The figures for people. Pure.

use super::Row;
use crate::demo::table::{finish, new};

/// A row for each run.
pub fn render(rows: &[Row]) -> String {
    let mut table =
        new(["TOOL", "LOSS", "OBJECT", "SECONDS", "WIRE / OBJECT", "CPU OF SENDER", "CPU OF A RECEIVER"]);
    for row in rows {
        table.add_row([
            row.tool.name().to_owned(),
            format!("{} %", row.loss_percent),
            format!("{:.0} MB", row.object_bytes as f64 / 1e6),
            format!("{:.1}", row.seconds),
            format!("{:.3}", row.wire_ratio),
            format!("{:.2} s", row.sender_cpu_seconds),
            format!("{:.2} s", row.receiver_cpu_seconds),
        ]);
    }
    finish(table)
}

#[cfg(test)]
mod tests {
    use super::super::Tool;
    use super::*;

    #[test]
    fn a_row_each() {
        let row = Row {
            tool: Tool::HttpCopies,
            loss_percent: 0.5,
            nodes: 8,
            object_bytes: 25_000_001,
            seconds: 16.04,
            wire_ratio: 8.3456,
            sender_cpu_seconds: 1.5,
            receiver_cpu_seconds: 0.25,
        };
        let text = render(&[row.clone(), row]);
        let shown = ["HTTP copies", "0.5 %", "25 MB", "16.0", "8.346", "1.50 s", "0.25 s"];
        assert!(shown.iter().all(|cell| text.contains(cell)), "{text}");
        assert_eq!(text.lines().count(), 3, "{text}");
    }
}
