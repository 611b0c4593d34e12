//! `top`: nodes, registrations and volumes on this terminal, live; or once, as text or JSON.
//!
//! [`columns`] plans how wide each column of a table is, [`tables`] fills them, [`facts`] are what stands above them,
//! [`screen`] draws it all, [`shown`] is what the person chose to see: all pure. This file asks, waits and draws.

mod columns;
mod facts;
mod once;
mod screen;
mod shown;
mod tables;

use super::cli::TopArgs;
use super::cluster::{ClusterView, Images, Watcher};
use super::daemons::Daemons;
use super::failure::CommandError;
use super::output;
use chrono::Utc;
use crossterm::event::{Event, EventStream};
use futures::StreamExt;
use ratatui::DefaultTerminal;
use shown::Shown;
use std::io::IsTerminal;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// How it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Live,
    Text,
    Json,
}

/// Shows the cluster until the person has seen enough, or once.
pub(super) async fn top(daemons: &Daemons, args: TopArgs) -> Result<(), CommandError> {
    let form = form(args, std::io::stdout().is_terminal())?;
    let mut watcher = Watcher::new(daemons, Images::LeftOut);
    let view = watcher.ask().await?.clone();
    match form {
        Form::Json => output::json(&view),
        Form::Text => output::line(&once::text(&view, Utc::now())),
        Form::Live => live(&mut watcher, view, args.interval).await,
    }
}

fn form(args: TopArgs, is_terminal: bool) -> Result<Form, CommandError> {
    match args {
        TopArgs { json: true, .. } => Ok(Form::Json),
        TopArgs { once: true, .. } => Ok(Form::Text),
        _ if is_terminal => Ok(Form::Live),
        _ => Err(CommandError::NoTerminal),
    }
}

async fn live(watcher: &mut Watcher<'_>, view: ClusterView, interval: Duration) -> Result<(), CommandError> {
    let (tell, told) = watch::channel(view);
    let input = Input::new()?;
    let mut terminal = ratatui::try_init().map_err(CommandError::Terminal)?;
    let outcome = tokio::select! {
        outcome = draw_until_closed(&mut terminal, told, input) => outcome,
        error = watcher.keep_asking(interval, &tell) => Err(error),
    };
    ratatui::restore();
    outcome
}

async fn draw_until_closed(
    terminal: &mut DefaultTerminal,
    mut told: watch::Receiver<ClusterView>,
    mut input: Input,
) -> Result<(), CommandError> {
    let mut shown = Shown::default();
    let mut view = told.borrow_and_update().clone();
    while !shown.is_closed {
        let draw = |frame: &mut ratatui::Frame<'_>| screen::draw(frame, &view, &mut shown, Utc::now());
        terminal.draw(draw).map_err(CommandError::Terminal)?;
        tokio::select! {
            Ok(()) = told.changed() => {
                if !shown.is_paused {
                    view = told.borrow_and_update().clone();
                }
            }
            event = input.next() => match event {
                Some(event) => shown.take(&event.map_err(CommandError::Terminal)?),
                None => shown.is_closed = true,
            },
        }
    }
    Ok(())
}

/// Keys, and the signals that end it: the terminal is to be left as it was found.
struct Input {
    events: EventStream,
    terminate: Signal,
    hangup: Signal,
}

impl Input {
    fn new() -> Result<Self, CommandError> {
        let on = |kind| signal(kind).map_err(CommandError::Terminal);
        let (terminate, hangup) = (on(SignalKind::terminate())?, on(SignalKind::hangup())?);
        Ok(Self { events: EventStream::new(), terminate, hangup })
    }

    /// None at the end.
    async fn next(&mut self) -> Option<std::io::Result<Event>> {
        tokio::select! {
            event = self.events.next() => event,
            _ = self.terminate.recv() => None,
            _ = self.hangup.recv() => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_terminal_it_is_refused_unless_it_needs_none() {
        let args = TopArgs { once: false, json: false, interval: Duration::from_secs(2) };
        assert_eq!(form(args, true).unwrap(), Form::Live);
        let refused = form(args, false).unwrap_err().to_string();
        assert!(refused.contains("bootstash top --once"), "{refused}");
        assert_eq!(form(TopArgs { once: true, ..args }, false).unwrap(), Form::Text);
        assert_eq!(form(TopArgs { json: true, ..args }, false).unwrap(), Form::Json);
    }
}
