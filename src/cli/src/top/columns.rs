//! How wide the columns of a table are, and which are left out, so that it fits. Pure.

use crate::render::clip;
use unicode_width::UnicodeWidthStr;

/// Between two columns.
pub(super) const GAP: usize = 2;

/// A column that has to fit beside others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) heading: &'static str,
    /// Quantities stand to the right.
    pub(super) is_quantity: bool,
    /// Cells may be cut to so many columns of the terminal; none: never.
    pub(super) shrinks_to: Option<usize>,
    /// The higher, the earlier it is left out; 0: never.
    pub(super) dispensable: u8,
}

/// A column that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    /// Which.
    pub(super) index: usize,
    /// In columns of the terminal.
    pub(super) width: usize,
}

/// Places what fits into `width`: first what is least needed is left out, then what may shrink gets the rest.
pub(super) fn plan(columns: &[Column], rows: &[Vec<String>], width: usize) -> Vec<Placed> {
    let natural: Vec<usize> = (0..columns.len()).map(|index| widest(columns, rows, index)).collect();
    let least =
        |index: usize| columns[index].shrinks_to.map_or(natural[index], |least| least.min(natural[index]));
    let mut placed: Vec<usize> = (0..columns.len()).collect();
    while total(placed.iter().map(|index| least(*index))) > width {
        let next = placed.iter().copied().max_by_key(|index| columns[*index].dispensable);
        match next.filter(|index| columns[*index].dispensable > 0) {
            Some(next) => placed.retain(|index| *index != next),
            None => break,
        }
    }
    let spare = width.saturating_sub(total(placed.iter().map(|index| least(*index))));
    let placed = placed.into_iter().map(|index| Placed { index, width: least(index) }).collect();
    cut(grown(placed, &natural, spare), width)
}

/// Whoever is narrowest grows first, so that one long name leaves room for what stands beside it.
fn grown(mut placed: Vec<Placed>, natural: &[usize], spare: usize) -> Vec<Placed> {
    for _ in 0..spare {
        let may_grow = placed.iter_mut().filter(|column| column.width < natural[column.index]);
        match may_grow.min_by_key(|column| column.width) {
            Some(narrowest) => narrowest.width += 1,
            None => break,
        }
    }
    placed
}

fn widest(columns: &[Column], rows: &[Vec<String>], index: usize) -> usize {
    let cells = rows.iter().filter_map(|row| row.get(index)).map(|cell| cell.width());
    cells.max().unwrap_or(0).max(columns[index].heading.width())
}

fn total(widths: impl Iterator<Item = usize>) -> usize {
    widths.map(|width| width + GAP).sum::<usize>().saturating_sub(GAP)
}

/// Where even what is needed does not fit, the terminal's edge cuts it.
fn cut(placed: Vec<Placed>, width: usize) -> Vec<Placed> {
    let mut left = width;
    let mut fits = Vec::new();
    for column in placed {
        let width = column.width.min(left);
        if width == 0 {
            break;
        }
        left = left.saturating_sub(width + GAP);
        fits.push(Placed { width, ..column });
    }
    fits
}

/// A cell in just so many columns.
pub(super) fn cell(text: &str, column: &Column, width: usize) -> String {
    let text = clip(text, width);
    let padding = " ".repeat(width.saturating_sub(text.width()));
    if column.is_quantity { padding + &text } else { text + &padding }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] = [
        Column { heading: "NAME", is_quantity: false, shrinks_to: Some(6), dispensable: 0 },
        Column { heading: "LAG", is_quantity: true, shrinks_to: None, dispensable: 0 },
        Column { heading: "VERSION", is_quantity: false, shrinks_to: None, dispensable: 9 },
        Column { heading: "PROBLEM", is_quantity: false, shrinks_to: Some(8), dispensable: 1 },
    ];

    fn rows() -> Vec<Vec<String>> {
        let row = |cells: [&str; 4]| cells.map(str::to_owned).to_vec();
        vec![row(["compute-17", "3", "0.1.0", "the pool is full, 失败"]), row(["n1", "120", "0.1.0", "-"])]
    }

    fn names(width: usize) -> Vec<&'static str> {
        plan(&COLUMNS, &rows(), width).iter().map(|placed| COLUMNS[placed.index].heading).collect()
    }

    #[test]
    fn never_wider_than_the_terminal() {
        for width in 0..120 {
            let placed = plan(&COLUMNS, &rows(), width);
            assert!(total(placed.iter().map(|placed| placed.width)) <= width, "{width}: {placed:?}");
            assert!(width == 0 || placed[0].index == 0, "{width}: the name is always there");
            for placed in placed {
                for row in rows() {
                    let cell = cell(&row[placed.index], &COLUMNS[placed.index], placed.width);
                    assert_eq!(cell.width(), placed.width, "{cell}");
                }
            }
        }
    }

    #[test]
    fn what_is_least_needed_goes_first() {
        assert_eq!(names(80), ["NAME", "LAG", "VERSION", "PROBLEM"]);
        assert_eq!(names(30), ["NAME", "LAG", "VERSION", "PROBLEM"], "problems shrink before");
        assert_eq!(names(27), ["NAME", "LAG", "PROBLEM"]);
        assert_eq!(names(15), ["NAME", "LAG"]);
        assert_eq!(plan(&COLUMNS, &rows(), 80)[3].width, rows()[0][3].width(), "no wider than its cells");
    }

    #[test]
    fn a_long_name_leaves_room_for_the_problem() {
        let row = ["a".repeat(90), "0".to_owned(), "0.1.0".to_owned(), "b".repeat(90)];
        let widths: Vec<usize> =
            plan(&COLUMNS, &[row.to_vec()], 80).iter().map(|placed| placed.width).collect();
        assert_eq!(widths, [32, 3, 7, 32]);
    }

    #[test]
    fn quantities_stand_right() {
        assert_eq!(cell("7", &COLUMNS[1], 4), "   7");
        assert_eq!(cell("compute-17", &COLUMNS[0], 8), "compute…");
    }
}
