//! `dashboard`: one page that shows the cluster, served on loopback to whoever opens its link first.
//!
//! Promises: it changes nothing and takes no orders; nobody sees it without the link, which counts once ([`access`]);
//! the page needs nothing from elsewhere ([`page`]); what it remembers is bounded ([`history`]). This file listens, asks
//! the daemons, and ends with ctrl-C.

mod access;
mod history;
mod http;
#[cfg(test)]
mod http_tests;
mod page;

use super::cli::DashboardArgs;
use super::cluster::{ClusterView, Images, Watcher};
use super::daemons::Daemons;
use super::failure::CommandError;
use super::output;
use access::{Access, Secret};
use history::History;
use http::{OPEN, Shared, routes};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Serves the page until it is told to end.
pub(super) async fn serve(daemons: &Daemons, args: DashboardArgs) -> Result<(), CommandError> {
    let mut watcher = Watcher::new(daemons, Images::Shown);
    let first = watcher.ask().await?.clone();
    let mut history = History::default();
    history.see(&first);
    let (tell, told) = watch::channel(first);
    let link = Secret::new().map_err(|_| CommandError::Random)?;
    let session = Secret::new().map_err(|_| CommandError::Random)?;
    let listener = listen(args.port).await?;
    say_where(&listener, &link)?;
    let shared = Shared {
        access: Arc::new(Mutex::new(Access::new(link, session))),
        history: Arc::new(Mutex::new(history)),
        told,
        interval: args.interval,
    };
    tokio::select! {
        error = watcher.keep_asking(args.interval, &tell) => Err(error),
        () = remember(shared.clone()) => Ok(()),
        served = axum::serve(listener, routes(shared)).into_future() => served.map_err(CommandError::Serve),
        ended = told_to_end() => ended,
    }
}

async fn listen(port: u16) -> Result<TcpListener, CommandError> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpListener::bind(address).await.map_err(|source| CommandError::Listen { address, source })
}

/// The link on standard output, alone, so that a script can have it.
fn say_where(listener: &TcpListener, link: &Secret) -> Result<(), CommandError> {
    let address = listener.local_addr().map_err(CommandError::Serve)?;
    eprintln!("Open this link; it counts once. Ctrl-C ends the dashboard.");
    if std::env::var_os("SSH_CONNECTION").is_some() {
        let port = address.port();
        eprintln!("From the machine you came from, first: ssh -L {port}:127.0.0.1:{port} HOST");
    }
    output::line(&format!("http://{address}{OPEN}?key={}", link.reveal()))
}

/// Adds each view to what is remembered.
async fn remember(shared: Shared) {
    let mut told: watch::Receiver<ClusterView> = shared.told.clone();
    while told.changed().await.is_ok() {
        let view = told.borrow_and_update();
        shared.history.lock().unwrap_or_else(PoisonError::into_inner).see(&view);
    }
}

async fn told_to_end() -> Result<(), CommandError> {
    let on = |kind| signal(kind).map_err(CommandError::Serve);
    let (mut terminate, mut hangup) = (on(SignalKind::terminate())?, on(SignalKind::hangup())?);
    tokio::select! {
        _ = tokio::signal::ctrl_c() => (),
        _ = terminate.recv() => (),
        _ = hangup.recv() => (),
    }
    Ok(())
}
