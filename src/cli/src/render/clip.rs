//! Cutting text to a number of terminal columns.

use super::Column;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

const ELLIPSIS: char = '…';
/// Between two columns of a table.
const GAP: usize = 2;

/// The text, or its beginning and an ellipsis, in at most so many columns.
pub(crate) fn clip(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut left = columns.saturating_sub(1);
    let fits = |shown: &char| {
        let wide = shown.width().unwrap_or(0);
        let fits = wide <= left;
        left = left.saturating_sub(if fits { wide } else { left });
        fits
    };
    let mut clipped: String = text.chars().take_while(fits).collect();
    clipped.push(ELLIPSIS);
    clipped
}

/// Rows of a table whose last column takes what the others leave of so many columns.
pub(crate) fn fitted(headings: &[Column], mut rows: Vec<Vec<String>>, columns: usize) -> Vec<Vec<String>> {
    let Some(last) = headings.len().checked_sub(1) else { return rows };
    let widest = |index: usize, heading: &Column| {
        let cells = rows.iter().filter_map(|row| row.get(index)).map(|cell| cell.width());
        cells.max().unwrap_or(0).max(heading.name().width()) + GAP
    };
    let others: usize =
        headings[..last].iter().enumerate().map(|(index, heading)| widest(index, heading)).sum();
    for row in &mut rows {
        if let Some(cell) = row.get_mut(last) {
            *cell = clip(cell, columns.saturating_sub(others));
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_stays_and_what_does_not_ends_with_an_ellipsis() {
        assert_eq!(clip("debian12", 8), "debian12");
        assert_eq!(clip("debian12", 7), "debian…");
        assert_eq!(clip("登录登录", 6), "登录…");
        assert_eq!(clip("登录登录", 5), "登录…");
        assert_eq!(clip("登录登录", 4), "登…");
    }

    #[test]
    fn the_last_column_takes_what_is_left() {
        let headings = [Column::Left("A"), Column::Left("RESULT")];
        let rows = vec![vec!["12345".to_owned(), "x".repeat(50)], vec!["1".to_owned(), "y".to_owned()]];
        let rows = fitted(&headings, rows, 20);
        assert_eq!(rows[0][1], format!("{}…", "x".repeat(12)));
        assert_eq!(rows[1][1], "y");
    }
}
