//! For tests: a warning or an error in the log which nobody announced is a failure.
//!
//! The watch sees what the test's own thread logs, which in a `#[tokio::test]` (one thread) is every
//! task; what other threads log (`spawn_blocking`, a multi-threaded runtime) passes it by.

use parking_lot::{Mutex, MutexGuard};
use std::fmt::{Debug, Write};
use std::sync::Arc;
use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// Watches the log of this thread until it is dropped, and then panics if a `WARN` or `ERROR` line
/// came which was not announced, or an expected one did not come.
#[must_use = "it watches while it lives"]
pub struct LogWatch {
    lines: Lines,
    expected: Vec<String>,
    allowed: Vec<String>,
    _guard: DefaultGuard,
}

/// Begins to watch.
pub fn fail_on_warnings() -> LogWatch {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::registry().with(lines.clone());
    let guard = tracing::subscriber::set_default(subscriber);
    LogWatch { lines, expected: Vec::new(), allowed: Vec::new(), _guard: guard }
}

impl LogWatch {
    /// Lines with `part` in them will come, at least one.
    pub fn expect(&mut self, part: impl Into<String>) {
        self.expected.push(part.into());
    }

    /// Lines with `part` in them may come.
    pub fn allow(&mut self, part: impl Into<String>) {
        self.allowed.push(part.into());
    }

    /// The warnings and errors so far.
    pub fn lines(&self) -> Vec<String> {
        let grave = |line: &String| line.starts_with("WARN ") || line.starts_with("ERROR ");
        self.all().into_iter().filter(grave).collect()
    }

    /// The same, and what else was worth telling.
    pub fn all(&self) -> Vec<String> {
        self.lines.lock().clone()
    }

    fn verdict(&self) -> Option<String> {
        let lines = self.lines();
        let known =
            |line: &&String| !self.expected.iter().chain(&self.allowed).any(|part| line.contains(part));
        if let Some(line) = lines.iter().find(known) {
            return Some(format!("the log has a line that was not announced: {line}"));
        }
        let missing = self.expected.iter().find(|part| !lines.iter().any(|line| line.contains(*part)))?;
        Some(format!("the log has no line with {missing:?}, which was announced"))
    }
}

impl Drop for LogWatch {
    fn drop(&mut self) {
        // A second panic while a failed test unwinds would abort all tests.
        if std::thread::panicking() {
            return;
        }
        if let Some(problem) = self.verdict() {
            panic!("{problem}");
        }
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock()
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let level = *event.metadata().level();
        if level <= Level::INFO {
            let mut line = Line(format!("{level} {}:", event.metadata().target()));
            event.record(&mut line);
            self.lock().push(line.0);
        }
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a String does not fail.
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;

    fn panics(test: fn()) -> String {
        *catch_unwind(test).unwrap_err().downcast::<String>().unwrap()
    }

    #[test]
    fn an_unannounced_warning_fails() {
        let text = panics(|| {
            let _watch = fail_on_warnings();
            tracing::warn!(node = "c17", "lost it");
        });
        assert!(text.contains("WARN") && text.contains("lost it node=\"c17\""), "{text}");
    }

    #[test]
    fn an_announced_one_passes_and_must_come() {
        let mut watch = fail_on_warnings();
        watch.expect("lost it");
        watch.allow("perhaps");
        tracing::error!("lost it again");
        tracing::info!("nobody minds");
        assert_eq!(watch.lines().len(), 1);
        drop(watch);
        let text = panics(|| fail_on_warnings().expect("lost it"));
        assert!(text.contains("no line with \"lost it\""), "{text}");
    }
}
