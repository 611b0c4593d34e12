//! A table that is one on a wide screen, and a list of cards on a narrow one; to a screen reader it is a table on both.

use maud::{Markup, html};

/// A column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heading {
    pub(super) name: &'static str,
    pub(super) holds: Holds,
}

/// What a column holds, which decides where it may be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// Sentences and names of others, however long: broken anywhere.
    Text,
    /// A word or a few: never broken.
    Word,
    /// Quantities: never broken, and to the right.
    Quantity,
}

/// A row; its first cell says what it is about.
pub(super) struct Row {
    /// How it stands out: `well`, `busy`, `bad`, `past`. Its words say the same.
    pub(super) tone: &'static str,
    pub(super) cells: Vec<Markup>,
}

/// Sentences and names.
pub(super) const fn text(name: &'static str) -> Heading {
    Heading { name, holds: Holds::Text }
}

/// A word or a few.
pub(super) const fn word(name: &'static str) -> Heading {
    Heading { name, holds: Holds::Word }
}

/// Quantities.
pub(super) const fn quantity(name: &'static str) -> Heading {
    Heading { name, holds: Holds::Quantity }
}

/// How many rows a page has room for, and the command that lists them all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) rows: usize,
    pub(super) command: &'static str,
}

/// The table, labelled by its section's heading.
pub(super) fn table(section: &str, headings: &[Heading], rows: &[Row], room: Room) -> Markup {
    html! {
        table role="table" aria-labelledby={ (section) "-heading" } {
            thead role="rowgroup" { tr role="row" {
                @for heading in headings { th role="columnheader" scope="col" class=(class(heading)) { (heading.name) } }
            } }
            tbody role="rowgroup" { @for row in rows.iter().take(room.rows) { (of_row(headings, row)) } }
        }
        @if rows.len() > room.rows {
            p.more { (rows.len() - room.rows) " more: " code { (room.command) } }
        }
    }
}

fn of_row(headings: &[Heading], row: &Row) -> Markup {
    html! {
        tr role="row" class=(row.tone) {
            @for (number, (heading, cell)) in headings.iter().zip(&row.cells).enumerate() {
                @if number == 0 {
                    th role="rowheader" scope="row" data-label=(heading.name) class=(class(heading)) { span { (cell) } }
                } @else {
                    td role="cell" data-label=(heading.name) class=(class(heading)) { span { (cell) } }
                }
            }
        }
    }
}

fn class(heading: &Heading) -> &'static str {
    match heading.holds {
        Holds::Text => "text",
        Holds::Word => "word",
        Holds::Quantity => "quantity",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_named_by_its_first_cell_and_too_many_rows_are_counted() {
        let headings = [text("Name"), quantity("Lag")];
        let row = |number: usize| Row { tone: "well", cells: vec![html! { (number) }, html! { "0" }] };
        let rows: Vec<Row> = (0..502).map(row).collect();
        let room = Room { rows: 500, command: "bootstash nodes" };
        let html = table("nodes", &headings, &rows, room).into_string();
        assert_eq!(html.matches("<th role=\"rowheader\" scope=\"row\"").count(), 500);
        assert!(html.contains("<p class=\"more\">2 more: <code>bootstash nodes</code></p>"), "{html}");
        assert!(html.contains("<td role=\"cell\" data-label=\"Lag\" class=\"quantity\"><span>0</span></td>"));
    }
}
