//! What is in each section of the page.

use super::charts::charts;
use super::tables::{Heading, Room, Row, quantity, table, text, word};
use super::{Look, Section};
use crate::cluster::{AgentView, RegistrarView, matters};
use crate::dashboard::history::{Added, added};
use crate::jobs::{seconds_taken, state_and_result, tenths_done};
use crate::nodes::problem;
use crate::register::under_way;
use crate::render::{ago, guest_text, or_dash, seconds, short_snapshot, size};
use crate::status::{flavor, state};
use bootstash_delta::catalog::Confidence;
use bootstash_net::api::{ImageView, JobOutcome, JobView, NodeView};
use bootstash_zfs::Usage;
use chrono::{DateTime, SecondsFormat, Utc};
use maud::{Markup, html};

const NODES: Room = Room { rows: 500, command: "bootstash nodes" };
const IMAGES: Room = Room { rows: 500, command: "bootstash images" };
/// Beside those under way, of which few are cut off.
const ENDED_JOBS: usize = 10;
const WHOLE_NAME_BYTES: usize = 20;

/// Their ids and headings.
pub(super) const CONTENTS: [(&str, &str); 6] = [
    ("overview", "Overview"),
    ("attention", "Attention"),
    ("space", "Space over time"),
    ("registrations", "Registrations"),
    ("nodes", "Nodes"),
    ("images", "Images"),
];

/// All of them.
pub(super) fn all(look: &Look<'_>) -> Vec<Section> {
    let section = |(id, name): (&'static str, &str)| {
        let (count, content) = content(id, look);
        let heading = html! { h2 id={ (id) "-heading" } { (name) @if let Some(count) = count { " " span.count { (count) } } } };
        Section { id, html: html! { (heading) (content) } }
    };
    CONTENTS.into_iter().map(section).collect()
}

fn content(id: &str, look: &Look<'_>) -> (Option<usize>, Markup) {
    let registrar = look.view.registrar.as_ref();
    let none = || (None, html! { p { "There is no registrar to ask from here." } });
    match id {
        "overview" => (None, overview(look)),
        "attention" => attention(look),
        "registrations" => registrar.map_or_else(none, registrations),
        "nodes" => registrar.map_or_else(none, |registrar| nodes(registrar, look.now)),
        "images" => registrar.map_or_else(none, |registrar| images(registrar, look.now)),
        _ => (None, html! { div.charts { @for chart in charts(look) { (chart.figure(look.now)) } } }),
    }
}

fn fact(name: &str, value: impl std::fmt::Display) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

fn overview(look: &Look<'_>) -> Markup {
    let view = look.view;
    html! {
        dl.facts {
            @if let Some(registrar) = &view.registrar { (of_registrar(registrar)) }
            @if let Some(agent) = &view.agent { (of_agent(agent)) }
            @if let Some(usage) = view.usage() { (of_zfs(usage)) }
        }
        p.asked { "As the daemons said at " (view.asked.format("%Y-%m-%d %H:%M:%S UTC")) "." }
    }
}

fn of_registrar(registrar: &RegistrarView) -> Markup {
    let (status, totals) = (&registrar.status, registrar.totals());
    html! {
        (fact("Registrar", format!("{} on {}", status.version, flavor(status.zfs))))
        (fact("Images", status.images))
        (fact("Nodes in step", format!("{} of {}", totals.nodes_in_step, totals.nodes)))
        (fact("Registering", totals.jobs_under_way))
        (fact("Newest snapshot", or_dash(status.snapshot.as_ref().map(short_snapshot))))
        (fact("Deltas", size(status.delta_bytes)))
    }
}

fn of_agent(agent: &AgentView) -> Markup {
    let status = &agent.status;
    html! {
        (fact("Node", status.node.as_str()))
        (fact("Agent", format!("{} on {}", status.version, flavor(status.zfs))))
        (fact("State", state(&status.state)))
        (fact("Images here", status.images))
        (fact("Overlays", status.overlays))
        (fact("Views", status.views))
    }
}

fn of_zfs(usage: &Usage) -> Markup {
    let total = usage.used_bytes.saturating_add(usage.available_bytes);
    html! {
        div { dt { "Pool" } dd {
            (size(usage.used_bytes)) " of " (size(total))
            meter min="0" max=(total) high=(total / 10 * 9) value=(usage.used_bytes) aria-label="Pool, used" {}
        } }
        (fact("Held in files", size(usage.logical_bytes)))
        (fact("Deduplication", format!("{:.2}x", usage.dedup_ratio)))
        (fact("Compression", format!("{:.2}x", usage.compress_ratio)))
        @if let Some(table) = usage.dedup_table {
            (fact("Deduplication table", match table.quota_bytes {
                Some(quota) => format!("{} of {}", size(table.bytes), size(quota)),
                None => size(table.bytes),
            }))
        }
    }
}

fn attention(look: &Look<'_>) -> (Option<usize>, Markup) {
    let matters = matters(look.view, look.now);
    let list = html! {
        @if matters.is_empty() { p { "Nothing needs a look." } }
        @else { ul.matters { @for matter in &matters { li { b { (matter.subject) } ": " (matter.what) } } } }
    };
    (Some(matters.len()), list)
}

fn registrations(registrar: &RegistrarView) -> (Option<usize>, Markup) {
    const HEADINGS: [Heading; 6] =
        [text("Image"), quantity("Job"), word("State"), word("Progress"), quantity("Took"), text("Result")];
    let jobs = registrar.jobs_under_way_first();
    let room = Room { rows: registrar.totals().jobs_under_way + ENDED_JOBS, command: "bootstash jobs" };
    if jobs.is_empty() {
        return (Some(0), html! { p { "None yet: " code { "bootstash register NAME SOURCE" } } });
    }
    let rows: Vec<Row> = jobs.into_iter().map(job).collect();
    (Some(rows.len()), table("registrations", &HEADINGS, &rows, room))
}

fn job(job: &JobView) -> Row {
    let (word, result) = state_and_result(job);
    let tone = match &job.outcome {
        None => "busy",
        Some(JobOutcome::Failed { .. }) => "bad",
        Some(_) => "past",
    };
    let console = job.progress.console_line.as_deref().map(guest_text).filter(|line| !line.is_empty());
    let is_under_way = job.outcome.is_none();
    let cells = vec![
        name(job.name.as_str()),
        html! { (job.id) },
        html! { (word) },
        html! { @if is_under_way { progress max="10" value=(tenths_done(job)) aria-label={ "Registering " (job.name) } {} } },
        html! { (seconds(seconds_taken(job))) },
        html! {
            @if is_under_way { (guest_text(&under_way(job))) } @else { (result) }
            @if let Some(line) = console.filter(|_| is_under_way) { br; samp { (line) } }
        },
    ];
    Row { tone, cells }
}

fn nodes(registrar: &RegistrarView, now: DateTime<Utc>) -> (Option<usize>, Markup) {
    const HEADINGS: [Heading; 6] = [
        text("Node"),
        word("Snapshot"),
        quantity("Lag"),
        word("Last contact"),
        text("Version"),
        text("Problem"),
    ];
    let rows: Vec<Row> = registrar.nodes_worst_first().into_iter().map(|of| node(of, now)).collect();
    if rows.is_empty() {
        return (Some(0), html! { p { "None has called yet: " code { "bootstash node invite NAME" } } });
    }
    (Some(rows.len()), table("nodes", &HEADINGS, &rows, NODES))
}

fn node(node: &NodeView, now: DateTime<Utc>) -> Row {
    let problem = problem(node, now);
    let tone = match node.lag {
        _ if problem.is_some() => "bad",
        Some(0) => "well",
        _ => "busy",
    };
    let cells = vec![
        name(node.name.as_str()),
        html! { (or_dash(node.snapshot.as_ref().map(short_snapshot))) },
        html! { @match node.lag { Some(0) => "in step", Some(lag) => (lag), None => "-" } },
        moment(node.last_contact, now),
        html! { (or_dash(node.version.as_deref().map(guest_text))) },
        html! { (or_dash(problem)) },
    ];
    Row { tone, cells }
}

fn images(registrar: &RegistrarView, now: DateTime<Utc>) -> (Option<usize>, Markup) {
    const HEADINGS: [Heading; 7] = [
        text("Image"),
        quantity("Size"),
        quantity("Boot cache"),
        word("Added"),
        word("Trust"),
        word("Snapshot"),
        word("Registered"),
    ];
    let mut images: Vec<&ImageView> = registrar.images.iter().collect();
    if images.is_empty() {
        return (Some(0), html! { p { "None yet: " code { "bootstash register NAME SOURCE" } } });
    }
    images.sort_by_key(|image| std::cmp::Reverse(image.manifest.registered));
    let added = added(registrar);
    let most = images.iter().map(|image| image.manifest.cache.bytes).max().unwrap_or(1).max(1);
    let row = |of: &&ImageView| image(of, added.get(of.manifest.name.as_str()), most, now);
    let rows: Vec<Row> = images.iter().map(row).collect();
    (Some(rows.len()), table("images", &HEADINGS, &rows, IMAGES))
}

fn image(image: &ImageView, added: Option<&Added>, most_bytes: u64, now: DateTime<Utc>) -> Row {
    let manifest = &image.manifest;
    let (tone, trust) = match manifest.confidence {
        Confidence::High => ("well", "high"),
        Confidence::Low => ("bad", "low"),
    };
    let cells = vec![
        name(manifest.name.as_str()),
        html! { (size(manifest.source.virtual_size_bytes)) },
        html! { (size(manifest.cache.bytes)) },
        html! { @match added {
            Some(added) => {
                (bar(added.bytes, manifest.cache.bytes, most_bytes)) (size(added.bytes))
                @if added.shared_by > 1 { ", with " (added.shared_by - 1) " more" }
            }
            None => "not on record",
        } },
        html! { (trust) },
        html! { (or_dash(image.snapshot.as_ref().map(short_snapshot))) },
        moment(manifest.registered, now),
    ];
    Row { tone, cells }
}

/// How much of a boot cache was new; all bars of a table by one measure.
fn bar(added: u64, cache: u64, most: u64) -> Markup {
    let percent = |bytes: u64| (bytes as f64 / most as f64 * 100.0).min(100.0);
    html! {
        svg.bar viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" focusable="false" {
            rect.cache width=(format!("{:.1}", percent(cache))) height="10" {}
            rect.added width=(format!("{:.1}", percent(added))) height="10" {}
        }
    }
}

/// One of usual length is never broken; a longer one is, anywhere.
fn name(name: &str) -> Markup {
    match name.len() {
        0..=WHOLE_NAME_BYTES => html! { span.whole { (name) } },
        _ => html! { (name) },
    }
}

fn moment(at: DateTime<Utc>, now: DateTime<Utc>) -> Markup {
    html! { time datetime=(at.to_rfc3339_opts(SecondsFormat::Secs, true)) { (ago(at, now)) } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::samples;
    use crate::dashboard::history::History;

    fn section(id: &str) -> String {
        let (view, history) = (samples::view(), History::default());
        let all = all(&Look { view: &view, history: &history, now: samples::now() });
        all.into_iter().find(|section| section.id == id).unwrap().html.into_string()
    }

    #[test]
    fn images_tell_what_each_added() {
        let images = section("images");
        assert!(images.contains("<rect class=\"added\" width=\"27.9\""), "{images}");
        assert!(images.contains("33M") && images.contains("not on record"), "{images}");
        assert!(images.find("debian12").unwrap() < images.find("alpine").unwrap(), "the newest first");
    }

    #[test]
    fn only_a_name_that_is_very_long_may_be_broken() {
        assert_eq!(name("compute-17").into_string(), "<span class=\"whole\">compute-17</span>");
        assert_eq!(name(&"a".repeat(21)).into_string(), "a".repeat(21));
    }

    #[test]
    fn nodes_and_jobs_say_in_words_what_colours_say() {
        let nodes = section("nodes");
        assert!(nodes.contains("in step") && nodes.contains("the pool is full"), "{nodes}");
        let jobs = section("registrations");
        assert!(
            jobs.contains("<progress max=\"10\" value=\"3\" aria-label=\"Registering debian12-nginx\">"),
            "{jobs}"
        );
        assert!(jobs.contains("<samp>[ OK ] Started ssh</samp>") && jobs.contains("failed"), "{jobs}");
        assert!(section("attention").contains("<b>node compute-17</b>: the pool is full"));
        assert!(section("overview").contains("<dt>Nodes in step</dt><dd>2 of 4</dd>"));
    }
}
