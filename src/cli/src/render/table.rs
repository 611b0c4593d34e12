//! Tables of plain columns, without a line of their own.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// A column's heading, and how its cells stand below it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Column {
    /// Aligned to the left, as words are.
    Left(&'static str),
    /// Aligned to the right, as quantities are.
    Right(&'static str),
}

impl Column {
    /// Its heading.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Left(name) | Self::Right(name) => name,
        }
    }
}

/// The rows below their headings. Never wraps: a long cell makes a long line, as in `zfs list`.
pub(crate) fn table(columns: &[Column], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|column| column.name()));
    table.add_rows(rows);
    for (column, kind) in table.column_iter_mut().zip(columns) {
        column.set_padding((0, 2));
        if matches!(kind, Column::Right(_)) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_plain_and_quantities_stand_right() {
        let rows = vec![
            vec!["a".into(), "7B".into(), "-".into()],
            vec!["longer".into(), "118.3M".into(), "x".into()],
        ];
        let text = table(&[Column::Left("NAME"), Column::Right("SIZE"), Column::Left("WHY")], rows);
        assert_eq!(text, "NAME      SIZE  WHY\na           7B  -\nlonger  118.3M  x");
    }

    #[test]
    fn never_wraps() {
        let text = table(&[Column::Left("PATH")], vec![vec!["x y ".repeat(100)]]);
        assert_eq!(text.lines().count(), 2);
    }
}
