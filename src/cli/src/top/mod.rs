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
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Shows the cluster until the person has seen enough; once, where there is no terminal.
pub(super) async fn top(daemons: &Daemons, args: TopArgs) -> Result<(), CommandError> {
    let mut watcher = Watcher::new(daemons, Images::LeftOut);
    let view = watcher.ask().await?.clone();
    if args.json {
        return output::json(&view);
    }
    if args.once || !std::io::stdout().is_terminal() {
        return output::line(&once::text(&view, Utc::now()));
    }
    let (tell, told) = watch::channel(view);
    let input = Input::new()?;
    let mut terminal = ratatui::try_init().map_err(CommandError::Terminal)?;
    let outcome = tokio::select! {
        outcome = draw_until_closed(&mut terminal, told, input) => outcome,
        error = watcher.keep_asking(args.interval, &tell) => Err(error),
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
