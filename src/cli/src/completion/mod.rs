//! Completing words that a shell asks for: names of images, nodes, members, jobs and overlays, as the daemons know them.
//!
//! The shell runs this program with `COMPLETE` set; clap does the rest. A daemon that does not answer soon has nothing
//! to offer, and nothing is ever printed that would stand in the way of what is being typed.

mod known;
mod scripts;
mod shells;

pub(super) use known::Known;
pub(super) use scripts::write_scripts;
pub(super) use shells::shells;

use super::daemons::Daemons;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use std::ffi::OsStr;
use std::time::Duration;

/// Longer than a daemon takes that is well, shorter than whoever pressed the key likes to wait.
const DEADLINE: Duration = Duration::from_millis(700);

/// Completes by what the daemons know.
pub(super) fn of(known: Known) -> ArgValueCompleter {
    ArgValueCompleter::new(move |typed: &OsStr| {
        let Some(typed) = typed.to_str() else { return Vec::new() };
        candidates(asked(&Daemons::of_the_environment(), known, typed))
    })
}

/// Completes by words that never change.
pub(super) fn one_of(words: &'static [&'static str]) -> ArgValueCompleter {
    ArgValueCompleter::new(move |typed: &OsStr| {
        let fits = |word: &&&str| typed.to_str().is_some_and(|typed| word.starts_with(typed));
        words.iter().filter(fits).map(|word| CompletionCandidate::new(*word)).collect()
    })
}

/// A runtime of its own, as this comes before the program has one.
fn asked(daemons: &Daemons, known: Known, typed: &str) -> Vec<(String, String)> {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Vec::new();
    };
    let offers = runtime.block_on(known::within(DEADLINE, daemons, known, typed));
    runtime.shutdown_background();
    offers
}

fn candidates(offers: Vec<(String, String)>) -> Vec<CompletionCandidate> {
    let candidate = |(word, help): (String, String)| CompletionCandidate::new(word).help(Some(help.into()));
    offers.into_iter().map(candidate).collect()
}
