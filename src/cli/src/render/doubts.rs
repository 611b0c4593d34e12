//! Below a list: which of its caches are trusted little, and why.

use super::guest_text;

const WIDTH_CHARS: usize = 100;

/// To be put behind a table; nothing where there are none.
pub(crate) fn low_trust(doubted: impl Iterator<Item = (String, String)>) -> String {
    let lines: Vec<String> =
        doubted.map(|(what, why)| wrapped(&format!("{what}: {}", guest_text(&why)))).collect();
    if lines.is_empty() { String::new() } else { format!("\n\nlow trust:\n{}", lines.join("\n")) }
}

/// Broken between words, each line indented.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::from(" ")];
    for word in text.split(' ') {
        let current = lines.len() - 1;
        if lines[current].chars().count() + 1 + word.chars().count() > WIDTH_CHARS {
            lines.push(format!("    {word}"));
        } else {
            lines[current] = format!("{} {word}", lines[current]);
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_fit_100_columns_and_nothing_is_nothing() {
        assert_eq!(low_trust(std::iter::empty()), "");
        let why = "one reason after another ".repeat(9);
        let text = low_trust(std::iter::once(("debian12".to_owned(), why)));
        assert!(text.starts_with("\n\nlow trust:\n  debian12: one reason"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH_CHARS), "{text}");
        assert_eq!(text.lines().count(), 6, "{text}");
    }
}
