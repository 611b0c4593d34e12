//! Writing answers to standard output.

use super::failure::CommandError;
use serde::Serialize;
use std::io::Write;

/// Writes a line (or several, if the text has them).
pub(super) fn line(text: &str) -> Result<(), CommandError> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(CommandError::Output)
}

/// Writes a value for machines, over several lines.
pub(super) fn json(value: &impl Serialize) -> Result<(), CommandError> {
    line(&serde_json::to_string_pretty(value).map_err(CommandError::Json)?)
}

/// Writes a value for machines, on one line.
pub(super) fn json_line(value: &impl Serialize) -> Result<(), CommandError> {
    line(&serde_json::to_string(value).map_err(CommandError::Json)?)
}
