//! The figures for people. Pure.

use super::Figures;
use crate::demo::narrate::size;
use crate::demo::table::{finish, new};

/// One row for each scenario.
pub fn render(all: &[Figures]) -> String {
    let mut table = new([
        "PEERS",
        "RATE LIMIT",
        "SECONDS",
        "FROM REGISTRAR",
        "FROM PEERS",
        "MOST AT ONCE",
        "TOLD TO WAIT",
    ]);
    for figures in all {
        table.add_row([
            peers(figures).to_owned(),
            figures.rate_bytes_per_second.map_or_else(|| "-".to_owned(), |rate| format!("{}/s", size(rate))),
            format!("{:.1}", figures.seconds),
            size(figures.registrar_bytes),
            size(figures.peers_bytes),
            format!("{} of {}", figures.most_downloads, figures.downloads_limit),
            figures.refused.to_string(),
        ]);
    }
    finish(table)
}

fn peers(figures: &Figures) -> &'static str {
    match (figures.peers, figures.prefer_peers) {
        (false, _) => "no",
        (true, false) => "when there are enough downloads",
        (true, true) => "preferred",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_each() {
        let figures = Figures {
            nodes: 200,
            deltas: 10,
            deltas_bytes: 1 << 20,
            peers: true,
            prefer_peers: false,
            downloads_limit: 16,
            rate_bytes_per_second: Some(1 << 20),
            seconds: 12.34,
            registrar_bytes: 2 << 20,
            peers_bytes: 0,
            most_downloads: 9,
            refused: 3,
        };
        let text =
            render(&[figures.clone(), Figures { peers: false, rate_bytes_per_second: None, ..figures }]);
        assert!(text.contains("12.3") && text.contains("9 of 16") && text.contains("/s"), "{text}");
        assert_eq!(text.lines().count(), 3, "{text}");
    }
}
