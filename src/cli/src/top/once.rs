//! The same as text: what is known, once. Nothing is left out or cut, as nobody can move through it.

use super::facts;
use super::tables::{self, Table};
use crate::cluster::{ClusterView, matters};
use crate::render;
use chrono::{DateTime, Utc};

/// For facts alone; a table is as wide as its cells.
const WIDTH_COLUMNS: usize = 100;

/// All of it.
pub(super) fn text(view: &ClusterView, now: DateTime<Utc>) -> String {
    let mut parts = vec![facts::all(view, WIDTH_COLUMNS).join("\n")];
    let matters = matters(view, now);
    if !matters.is_empty() {
        let lines = matters.iter().map(|matter| format!("! {}: {}", matter.subject, matter.what));
        parts.push(lines.collect::<Vec<_>>().join("\n"));
    }
    if let Some(registrar) = &view.registrar {
        let tables = [tables::jobs(registrar), tables::nodes(registrar, now)];
        parts.extend(tables.into_iter().filter(|table| !table.rows.is_empty()).map(plain));
    }
    parts.join("\n\n")
}

fn plain(table: Table) -> String {
    let column = |column: &super::columns::Column| match column.is_quantity {
        true => render::Column::Right(column.heading),
        false => render::Column::Left(column.heading),
    };
    let columns: Vec<_> = table.columns.iter().map(column).collect();
    render::table(&columns, table.rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::samples;

    #[test]
    fn everything_is_there_once() {
        let text = text(&samples::view(), samples::now());
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("registrar 0.1.0 on OpenZFS   images 2"), "{text}");
        assert!(lines.contains(&"! node compute-17: the pool is full"), "{text}");
        let jobs = lines.iter().position(|line| line.starts_with("JOB  IMAGE")).unwrap();
        assert!(lines[jobs + 1].contains("debian12-nginx  capture  ███░░░░░░░"), "{text}");
        let nodes = lines.iter().position(|line| line.starts_with("NAME  ")).unwrap();
        assert_eq!(lines[nodes + 3], "node2       bs-000042    3           3 s  0.1.0    -");
        assert!(text.ends_with('-'), "no line at the end: {text}");
    }

    #[test]
    fn a_cluster_of_which_nothing_is_known_has_no_tables() {
        assert_eq!(text(&ClusterView::new(samples::now()), samples::now()), "");
    }
}
