//! `join`: from now on this user works with a registrar on another machine.

use super::cli::JoinArgs;
use super::daemons::Daemons;
use super::failure::CommandError;
use super::output;
use bootstash::api::Joiner;
use bootstash::membership::{self, Joining};
use std::io::Read;
use std::path::Path;

/// In bytes; a token is shorter.
const LONGEST_TOKEN: u64 = 4096;

/// Trades the token for a certificate.
pub(super) async fn join(daemons: &Daemons, args: JoinArgs) -> Result<(), CommandError> {
    let dir = daemons.identity()?;
    let token = args.token.map_or_else(token_from_stdin, Ok)?;
    match membership::join(dir, &args.url, &token, Joiner::Command).await? {
        Joining::Joined(identity) => {
            output::line(&format!("joined as {identity}; key and certificate are in {}", dir.display()))
        }
        Joining::Unchanged(identity) => {
            output::line(&format!("joined as {identity} with this token before: unchanged"))
        }
    }
}

/// Renews the certificate where that is due.
pub(super) async fn renew(daemons: &Daemons) -> Result<(), CommandError> {
    let renewal = daemons.renew().await?;
    let dir = || daemons.identity().map(Path::to_owned);
    let renewal = match renewal {
        Some(renewal) => renewal,
        None => return Err(CommandError::NotJoined { dir: dir()? }),
    };
    let (identity, expires) = (renewal.identity, renewal.expires.format("%Y-%m-%d"));
    let did = if renewal.renewed { "renewed" } else { "unchanged" };
    output::line(&format!("{did}: {identity} until {expires}"))
}

fn token_from_stdin() -> Result<String, CommandError> {
    std::io::read_to_string(std::io::stdin().take(LONGEST_TOKEN)).map_err(CommandError::Token)
}
