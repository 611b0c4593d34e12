//! Words and names.

use bootstash_base::names::SnapshotName;
use std::fmt::Display;

/// Text of a guest or of another host, made safe for a terminal: escape sequences and control
/// characters are dropped, white space becomes single blanks.
pub(crate) fn guest_text(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' && chars.next_if_eq(&'[').is_some() {
            // A control sequence ends with its first letter or other final byte (ECMA-48).
            let _ = chars.by_ref().find(|c| ('@'..='~').contains(c));
        } else if c.is_whitespace() {
            shown.push(' ');
        } else if !c.is_control() && !is_direction(c) {
            shown.push(c);
        }
    }
    shown.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Characters that turn the direction of writing, and with it the rest of the line.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A snapshot in a table: `bs-000042`, as its time stands in a column of its own, if anywhere.
pub(crate) fn short_snapshot(name: &SnapshotName) -> String {
    format!("bs-{:06}", name.number())
}

/// `-` for nothing.
pub(crate) fn or_dash(value: Option<impl Display>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_cannot_drive_the_terminal() {
        assert_eq!(guest_text("\x1b[1;31m[  OK  ]\x1b[0m Started\x07 \tssh\r\n"), "[ OK ] Started ssh");
        assert_eq!(guest_text("\x1b]0;title\x07x\u{202e}y\u{9b}z"), "]0;titlexyz");
        assert_eq!(guest_text("\x1b["), "");
        assert_eq!(guest_text("größe"), "größe");
    }
}
