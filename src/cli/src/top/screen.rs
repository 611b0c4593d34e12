//! Drawing a screen of any size: facts, what somebody should look at, the two tables, the keys. Promises that no line
//! is wrapped, and that colours say nothing that words do not.

use super::columns::{GAP, cell, plan};
use super::facts;
use super::shown::{Panel, Scroll, Shown};
use super::tables::{self, Table, Tone};
use crate::cluster::{ClusterView, RegistrarView, matters};
use crate::render::clip;
use chrono::{DateTime, Utc};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Block, Borders};

/// What somebody should look at takes no more lines than this; the last says how many more there are.
const MOST_MATTERS: usize = 4;
/// A table's heading, and a line above it.
const TABLE_FRAME_LINES: u16 = 2;
/// For both tables and the keys, with a row in each table: on a low terminal facts are left out before.
const LEAST_BELOW: usize = 7;
const KEYS: &str = "q quit   ↑ ↓ PgUp PgDn move   Tab other table   p pause";

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, view: &ClusterView, shown: &mut Shown, now: DateTime<Utc>) {
    let area = frame.area();
    let width = usize::from(area.width);
    let above = above(view, width, usize::from(area.height).saturating_sub(LEAST_BELOW), now);
    let [top, middle, keys] = Layout::vertical([
        Constraint::Length(u16::try_from(above.len()).unwrap_or(u16::MAX)),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(Text::from(above), top);
    if let Some(registrar) = &view.registrar {
        draw_tables(frame, middle, registrar, shown, now);
    }
    let paused = if shown.is_paused { "paused: p goes on   " } else { "" };
    let line = clip(&format!("{paused}{KEYS}"), width);
    frame.render_widget(Line::styled(line, Style::new().add_modifier(Modifier::DIM)), keys);
}

/// At most so many lines, but one: first facts are left out, from the last on, then what somebody should look at.
fn above(view: &ClusterView, width: usize, most_lines: usize, now: DateTime<Utc>) -> Vec<Line<'static>> {
    let asked = view.asked.format("bootstash top, %Y-%m-%d %H:%M:%S UTC").to_string();
    let heading = Line::styled(clip(&asked, width), Style::new().add_modifier(Modifier::BOLD));
    let room = most_lines.saturating_sub(1);
    let matters = matters_lines(view, width, room.min(MOST_MATTERS), now);
    let facts = facts::all(view, width).into_iter().take(room - matters.len()).map(Line::from);
    std::iter::once(heading).chain(facts).chain(matters).collect()
}

fn matters_lines(view: &ClusterView, width: usize, most: usize, now: DateTime<Utc>) -> Vec<Line<'static>> {
    let matters = matters(view, now);
    let shown = if matters.len() > most { most.saturating_sub(1) } else { matters.len() };
    let mut lines: Vec<String> =
        matters.iter().take(shown).map(|matter| format!("! {}: {}", matter.subject, matter.what)).collect();
    if matters.len() > shown && most > 0 {
        lines.push(format!("! {} more: bootstash top --once", matters.len() - shown));
    }
    lines.into_iter().map(|line| Line::styled(clip(&line, width), style(Tone::Bad))).collect()
}

fn draw_tables(
    frame: &mut Frame<'_>,
    area: Rect,
    registrar: &RegistrarView,
    shown: &mut Shown,
    now: DateTime<Utc>,
) {
    let (jobs, nodes) = (tables::jobs(registrar), tables::nodes(registrar, now));
    let wanted = u16::try_from(jobs.rows.len()).unwrap_or(u16::MAX).saturating_add(TABLE_FRAME_LINES);
    let [above, below] =
        Layout::vertical([Constraint::Length(wanted.min(area.height / 2)), Constraint::Fill(1)]).areas(area);
    let is_chosen = |panel| shown.panel == panel;
    let (jobs_chosen, nodes_chosen) = (is_chosen(Panel::Jobs), is_chosen(Panel::Nodes));
    draw_table(frame, above, "Registrations", &jobs, (&mut shown.jobs, jobs_chosen));
    draw_table(frame, below, "Nodes", &nodes, (&mut shown.nodes, nodes_chosen));
}

fn draw_table(
    frame: &mut Frame<'_>,
    area: Rect,
    name: &str,
    table: &Table,
    (scroll, is_chosen): (&mut Scroll, bool),
) {
    scroll.fit(table.rows.len(), usize::from(area.height.saturating_sub(TABLE_FRAME_LINES)));
    let border = if is_chosen {
        Style::new().add_modifier(Modifier::BOLD)
    } else {
        Style::new().add_modifier(Modifier::DIM)
    };
    let title = clip(&title(name, *scroll, is_chosen), usize::from(area.width));
    let block = Block::new().borders(Borders::TOP).border_style(border).title(title);
    let inside = block.inner(area);
    frame.render_widget(block, area);
    frame.render_widget(Text::from(lines(table, *scroll, usize::from(inside.width))), inside);
}

/// Which rows are shown, where not all are; the chosen table is marked.
fn title(name: &str, scroll: Scroll, is_chosen: bool) -> String {
    let mark = if is_chosen { "> " } else { "" };
    match scroll.rows {
        rows if rows <= scroll.page || scroll.page == 0 => format!("{mark}{name} ({rows})"),
        rows => format!("{mark}{name} ({} to {} of {rows})", scroll.first + 1, scroll.first + scroll.page),
    }
}

fn lines(table: &Table, scroll: Scroll, width: usize) -> Vec<Line<'static>> {
    let placed = plan(table.columns, &table.rows, width);
    let line = |text: &dyn Fn(usize) -> String| {
        let cells = placed.iter().map(|at| cell(&text(at.index), &table.columns[at.index], at.width));
        cells.collect::<Vec<_>>().join(&" ".repeat(GAP))
    };
    let heading = line(&|index| table.columns[index].heading.to_owned());
    let mut lines = vec![Line::styled(heading, Style::new().add_modifier(Modifier::BOLD))];
    let rows = table.rows.iter().zip(&table.tones).skip(scroll.first).take(scroll.page);
    lines.extend(rows.map(|(row, tone)| Line::styled(line(&|index| row[index].clone()), style(*tone))));
    lines
}

/// Colours of the terminal's own palette, which its owner can read; none where they want none (https://no-color.org).
fn style(tone: Tone) -> Style {
    let coloured = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    match tone {
        Tone::Busy if coloured => Style::new().fg(Color::Yellow),
        Tone::Bad if coloured => Style::new().fg(Color::Red),
        Tone::Bad => Style::new().add_modifier(Modifier::BOLD),
        Tone::Past => Style::new().add_modifier(Modifier::DIM),
        Tone::Well | Tone::Busy => Style::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::samples;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn screen(view: &ClusterView, shown: &mut Shown, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, view, shown, samples::now())).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
        (0..height).map(row).collect()
    }

    #[test]
    fn a_screen_of_80_by_24() {
        let rows = screen(&samples::view(), &mut Shown::default(), 80, 24);
        let expected = [
            "bootstash top, 2026-11-21 10:20:00 UTC",
            "registrar 0.1.0 on OpenZFS   images 2   snapshot bs-000042 of 12",
            "nodes 2 of 4 in step   registering 3   deltas 90M",
            "pool ░░░░░░░░░░░░░░░░░░░░ 96M of 12.1G   logical 372M   dedup 1.91x",
            "compression 2.00x   dedup table 3M of 64M",
            "! node compute-17: the pool is full",
            "! node node3: silent for the window; no snapshot is kept for it",
            "! image alpine: of low trust: only one boot was made, and none to show that it …",
            "Registrations (5)───────────────────────────────────────────────────────────────",
        ];
        assert_eq!(rows[..expected.len()], expected);
        assert_eq!(rows[9], "JOB  IMAGE           STATE    PROGRESS       TOOK  RESULT");
        assert!(
            rows[10].starts_with("  8  debian12-nginx  capture  ███░░░░░░░    0.3 s  capture, boot 2, 17"),
            "{rows:#?}"
        );
        assert!(rows[15].starts_with("> Nodes (4)───"), "{rows:#?}");
        assert_eq!(rows[17], "compute-17  -            -           3 s  -        the pool is full");
        assert!(rows[23].starts_with("q quit"), "{rows:#?}");
    }

    #[test]
    fn a_low_terminal_has_rows_of_both_tables_and_what_needs_a_look() {
        let rows = screen(&samples::view(), &mut Shown::default(), 80, 12);
        let starts =
            ["bootstash top", "registrar 0.1.0", "! node compute-17", "! node node3", "! image alpine"];
        let starts = starts.into_iter().chain(["Registrations (1 to 1 of 5)", "JOB", "  8  debian12-nginx"]);
        let starts = starts.chain(["> Nodes (1 to 1 of 4)", "NAME", "compute-17", "q quit"]);
        for (row, start) in rows.iter().zip(starts) {
            assert!(row.starts_with(start), "{start}: {rows:#?}");
        }
    }

    #[test]
    fn no_table_wraps_on_any_terminal() {
        for width in (1..=120).step_by(7) {
            for height in 1..=30 {
                let rows = screen(&samples::view(), &mut Shown::default(), width, height);
                let nodes = rows.iter().position(|row| row.contains("Nodes ("));
                let Some(nodes) = nodes.filter(|at| at + 3 < rows.len()) else { continue };
                assert!(rows[nodes + 1].starts_with(&"NAME"[..usize::from(width).min(4)]), "{rows:#?}");
                assert!(rows[nodes + 2].starts_with('c'), "each row is one line: {rows:#?}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_can_be_reached_and_is_counted() {
        let mut view = samples::view();
        let registrar = view.registrar.as_mut().unwrap();
        let node = registrar.nodes[0].clone();
        registrar.nodes = (0..40)
            .map(|number| bootstash_net::api::NodeView {
                name: format!("c{number:02}").parse().unwrap(),
                ..node.clone()
            })
            .collect();
        let mut shown = Shown::default();
        let rows = screen(&view, &mut shown, 80, 24);
        assert!(rows.iter().any(|row| row.starts_with("> Nodes (1 to ")), "{rows:#?}");
        shown.nodes.first = usize::MAX;
        let rows = screen(&view, &mut shown, 80, 24);
        assert!(rows.iter().any(|row| row.starts_with("c39 ")), "{rows:#?}");
        assert!(!rows.iter().any(|row| row.starts_with("c00 ")), "{rows:#?}");
    }
}
