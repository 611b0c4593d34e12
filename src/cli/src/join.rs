//! `join`: from now on this user works with a registrar on another machine.

use super::cli::JoinArgs;
use super::daemons::Daemons;
use super::failure::CommandError;
use super::output;
use bootstash_net::api::Joiner;
use bootstash_net::enrolment;
use std::path::Path;

/// Trades the token for a certificate.
pub(super) async fn join(daemons: &Daemons, args: JoinArgs) -> Result<(), CommandError> {
    let dir = daemons.identity()?;
    let token = enrolment::given_token(args.token.as_deref())?;
    let joining = enrolment::join(dir, &args.url, &token, Joiner::Command).await?;
    output::line(&joining.text(&format!("key and certificate are in {}", dir.display())))
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
