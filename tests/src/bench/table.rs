//! The figures for people. Pure.

use super::Figures;
use crate::demo::narrate::size;
use crate::demo::table::{finish, new};

/// The figures as text.
pub fn render(figures: &Figures) -> String {
    let mut table = new(["STEP", "SECONDS", "SPEED"]);
    for step in &figures.steps {
        table.add_row([
            step.step.clone(),
            seconds(step.seconds),
            step.bytes_per_second.map_or_else(dash, speed),
        ]);
    }
    let total = figures.register_less_boots_seconds;
    table.add_row(["register, less the boots".to_owned(), seconds(total), dash()]);
    for (number, boot) in (1..).zip(&figures.boots) {
        let when = if number > figures.first_round { ", when nodes have it" } else { "" };
        table.add_row([format!("capture boot {number}{when}"), seconds(boot.seconds), dash()]);
    }
    let apply = speed(figures.apply_bytes_per_second);
    table.add_row(["apply on a node".to_owned(), seconds(figures.apply_seconds), apply]);
    table.add_row(["warm boot to login prompt".to_owned(), seconds(figures.warm_boot.seconds), dash()]);
    [finish(table), facts(figures)].join("\n\n")
}

fn facts(figures: &Figures) -> String {
    let facts = [
        ("registering over one boot", format!("{:.2}", figures.register_over_one_boot)),
        ("boot cache", size(figures.cache_bytes)),
        ("delta", size(figures.delta_bytes)),
        ("delta of later boots", size(figures.following_delta_bytes)),
        ("warm boot read from base", format!("{} bytes", figures.warm_boot.base_bytes_read)),
        ("agent's peak memory", size(figures.agent_peak_rss_bytes)),
        ("registrar's peak memory", size(figures.registrar_peak_rss_bytes)),
    ];
    let mut table = new(["FACT", figures.image.as_str()]);
    facts.into_iter().for_each(|(what, value)| {
        table.add_row([what.to_owned(), value]);
    });
    finish(table)
}

fn seconds(seconds: f64) -> String {
    format!("{seconds:.2}")
}

fn speed(bytes_per_second: f64) -> String {
    format!("{:.1} MB/s", bytes_per_second / 1e6)
}

fn dash() -> String {
    "-".to_owned()
}
