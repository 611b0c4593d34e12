//! Logs go to standard error: with time and level for people and files, as journald wants them where it reads them.

use super::journal::{Journal, has_standard_error};
use std::io::IsTerminal;
use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people, files and journald.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// Starts logging at `info`, or as `RUST_LOG` says. Call once, in `main`.
pub fn init_logging(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter);
    let to_stderr = fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Json => registry.with(to_stderr.json()).init(),
        LogFormat::Text if has_standard_error() => {
            registry.with(for_journal(Journal(std::io::stderr))).init();
            // What Rust writes by itself is several lines without a priority.
            std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
        }
        LogFormat::Text => registry.with(to_stderr.with_ansi(std::io::stderr().is_terminal())).init(),
    }
}

/// Neither time nor level: an entry of the journal has both.
pub(super) fn for_journal<S, W>(to: W) -> impl Layer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + 'static,
{
    fmt::layer().without_time().with_level(false).with_ansi(false).with_writer(to)
}
