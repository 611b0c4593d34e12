//! `boot`: an image on this terminal, from a throw-away overlay.

use super::cli::BootArgs;
use super::daemons::Daemons;
use super::failure::CommandError;
use std::process::ExitCode;

/// To be wired to the console.
pub(super) async fn boot(_daemons: &Daemons, _args: BootArgs) -> Result<ExitCode, CommandError> {
    Ok(ExitCode::SUCCESS)
}
