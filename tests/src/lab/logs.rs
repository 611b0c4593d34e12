//! Reading the daemons' logs: a warning that nobody announced fails a test.

use anyhow::{Result, bail};
use std::path::{Path, PathBuf};

const SHOWN_LINES: usize = 30;

/// Looks through the logs for warnings and errors that hold none of the `expected` texts.
///
/// # Errors
/// Lists the lines that were not expected.
pub fn check(logs: impl IntoIterator<Item = PathBuf>, expected: &[String]) -> Result<()> {
    let mut found = Vec::new();
    for log in logs {
        let text = std::fs::read_to_string(&log)?;
        found.extend(unannounced(&text, expected).map(|line| format!("{}: {line}", log.display())));
    }
    if found.is_empty() {
        return Ok(());
    }
    bail!("logged, and not announced by the test:\n{}", found.join("\n"));
}

fn unannounced<'a>(text: &'a str, expected: &'a [String]) -> impl Iterator<Item = &'a str> {
    text.lines().filter(|line| is_warning(line) && !expected.iter().any(|known| line.contains(known)))
}

/// The level is the first or (after a time) the second word; a panic has none.
fn is_warning(line: &str) -> bool {
    let level = line.split_whitespace().take(2).any(|word| matches!(word, "WARN" | "ERROR"));
    level || line.contains("panicked at")
}

/// Shows the end of a log, for a person who looks at a test that failed.
pub fn show_end(log: &Path) {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    eprintln!("---- {} ----", log.display());
    lines[lines.len().saturating_sub(SHOWN_LINES)..].iter().for_each(|line| eprintln!("{line}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_warnings_that_were_not_announced() {
        let log = "2026-11-21T12:00:00Z  INFO a: no ERROR here\n\
                   2026-11-21T12:00:00Z  WARN a: the registrar does not answer\n\
                   ERROR b: it broke\nthread 'main' panicked at src/x.rs:1\n";
        assert_eq!(unannounced(log, &[]).count(), 3);
        let expected = ["does not answer".to_owned()];
        let left: Vec<_> = unannounced(log, &expected).collect();
        assert_eq!(left, ["ERROR b: it broke", "thread 'main' panicked at src/x.rs:1"]);
    }
}
