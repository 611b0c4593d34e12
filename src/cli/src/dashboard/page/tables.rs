//! A table that is one on a wide screen, and a list of cards on a narrow one; to a screen reader it is a table on both.

use maud::{Markup, html};

/// No page lists more; the command does.
const MOST_ROWS: usize = 500;

/// A column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heading {
    pub(super) name: &'static str,
    pub(super) is_quantity: bool,
}

/// A row; its first cell says what it is about.
pub(super) struct Row {
    /// How it stands out: `well`, `busy`, `bad`, `past`. Its words say the same.
    pub(super) tone: &'static str,
    pub(super) cells: Vec<Markup>,
}

/// Words.
pub(super) const fn words(name: &'static str) -> Heading {
    Heading { name, is_quantity: false }
}

/// Quantities.
pub(super) const fn quantity(name: &'static str) -> Heading {
    Heading { name, is_quantity: true }
}

/// The table, labelled by its section's heading; `all` is the command that lists what is too much for a page.
pub(super) fn table(section: &str, headings: &[Heading], rows: &[Row], all: &str) -> Markup {
    html! {
        table role="table" aria-labelledby={ (section) "-heading" } {
            thead role="rowgroup" { tr role="row" {
                @for heading in headings { th role="columnheader" scope="col" class=[class(heading)] { (heading.name) } }
            } }
            tbody role="rowgroup" { @for row in rows.iter().take(MOST_ROWS) { (of_row(headings, row)) } }
        }
        @if rows.len() > MOST_ROWS {
            p { (rows.len() - MOST_ROWS) " more: " code { (all) } }
        }
    }
}

fn of_row(headings: &[Heading], row: &Row) -> Markup {
    html! {
        tr role="row" class=(row.tone) {
            @for (number, (heading, cell)) in headings.iter().zip(&row.cells).enumerate() {
                @if number == 0 {
                    th role="rowheader" scope="row" data-label=(heading.name) class=[class(heading)] { span { (cell) } }
                } @else {
                    td role="cell" data-label=(heading.name) class=[class(heading)] { span { (cell) } }
                }
            }
        }
    }
}

fn class(heading: &Heading) -> Option<&'static str> {
    heading.is_quantity.then_some("quantity")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_named_by_its_first_cell_and_too_many_rows_are_counted() {
        let headings = [words("Name"), quantity("Lag")];
        let row = |number: usize| Row { tone: "well", cells: vec![html! { (number) }, html! { "0" }] };
        let rows: Vec<Row> = (0..502).map(row).collect();
        let html = table("nodes", &headings, &rows, "bootstash nodes").into_string();
        assert_eq!(html.matches("<th role=\"rowheader\" scope=\"row\"").count(), 500);
        assert!(html.contains("<p>2 more: <code>bootstash nodes</code></p>"), "{html}");
        assert!(html.contains("<td role=\"cell\" data-label=\"Lag\" class=\"quantity\"><span>0</span></td>"));
    }
}
