//! `volume restore`.

use super::cli::RestoreArgs;
use super::daemons::{Daemon, Daemons};
use super::failure::CommandError;
use super::output;
use super::render::{short_snapshot, size_in_words};
use bootstash_net::api::{Client, RestoreReply, RestoreRequest, Transfer, routes};
use indicatif::ProgressBar;
use std::time::Duration;

const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Brings the registrar's lost volume back from a node.
pub(super) async fn restore(daemons: &Daemons, args: RestoreArgs) -> Result<(), CommandError> {
    let registrar = daemons.need(Daemon::Registrar)?;
    let request = RestoreRequest { from: args.from };
    // Hidden by itself where standard error is no terminal.
    let spinner = ProgressBar::new_spinner();
    let reply: RestoreReply = tokio::select! {
        reply = registrar.post(routes::RESTORE, &request) => reply?,
        never = show(&registrar, &spinner) => match never {},
    };
    spinner.finish_and_clear();
    if args.json { output::json(&reply) } else { output::line(&reply_text(&reply)) }
}

/// Never ends.
async fn show(registrar: &Client, spinner: &ProgressBar) -> std::convert::Infallible {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        // Who answers late, or not, is waited for by the request itself.
        if let Ok(Some(transfer)) = registrar.get::<Option<Transfer>>(routes::RESTORE, &()).await {
            spinner.set_message(progress_text(&transfer));
            spinner.tick();
        }
    }
}

fn progress_text(transfer: &Transfer) -> String {
    match transfer.total_bytes {
        Some(total) => {
            format!("received {} of about {}", size_in_words(transfer.bytes), size_in_words(total))
        }
        None => format!("received {}", size_in_words(transfer.bytes)),
    }
}

fn reply_text(reply: &RestoreReply) -> String {
    let images = format!("{} image{}", reply.images, if reply.images == 1 { "" } else { "s" });
    let snapshot = short_snapshot(&reply.snapshot);
    match reply.restored {
        true => format!("restored {images} at snapshot {snapshot} from {}", reply.from),
        false => format!("nothing to do: the volume is at snapshot {snapshot} already, with {images}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::stub::{self, Stub};
    use super::*;
    use axum::{Json, Router, routing};
    use bootstash_base::error::ErrorClass;

    fn reply(restored: bool) -> RestoreReply {
        let from = "https://10.0.0.5:7432".to_owned();
        RestoreReply { restored, from, snapshot: stub::snapshot(42), images: 2 }
    }

    #[test]
    fn says_what_came_back_from_where() {
        let restored = "restored 2 images at snapshot bs-000042 from https://10.0.0.5:7432";
        assert_eq!(reply_text(&reply(true)), restored);
        assert!(reply_text(&reply(false)).starts_with("nothing to do: "));
        let transfer = Transfer { bytes: 1 << 20, total_bytes: Some(2 << 20) };
        assert_eq!(progress_text(&transfer), "received 1 MiB of about 2 MiB");
    }

    #[tokio::test]
    async fn a_refusal_is_the_registrars_own_words() {
        let refuse =
            async || stub::refusal(409, "the volume holds snapshot bs-000001", ErrorClass::Permanent);
        let stub = Stub::registrar(
            Router::new().route(routes::RESTORE, routing::post(refuse).get(async || Json(None::<Transfer>))),
        );
        let args = RestoreArgs { from: "node1".to_owned(), json: false };
        let error = restore(&stub.daemons(), args).await.unwrap_err();
        assert_eq!(super::super::failure::text(&error), "error: the volume holds snapshot bs-000001");
    }
}
