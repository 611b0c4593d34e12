//! Listening on the network: TLS, then HTTP, then who calls.
//!
//! Promises: nobody holds a connection by saying nothing, or by saying it slowly; unauthenticated clients get a few
//! seconds and few connections; one who is expelled, or whose certificate ends, is cut off in the middle of
//! whatever they are doing, and told so when they come again; what goes wrong with a connection is that connection's end and nobody else's.

mod body;
mod connection;
mod exchange;
mod guard;
mod peer_session;
mod refusal;
mod revocation;
mod socket;
mod timeouts;

pub use guard::{guard, members_only, missing_permission};
pub use refusal::Refusal;
pub use revocation::RevocationList;
pub use timeouts::ConnectionTimeouts;

use crate::identity::{CredentialStore, IdentityError};
use axum::Router;
use connection::Connection;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections at once, of all who have a certificate and who do not. A node has two or three.
pub const MOST_CONNECTIONS: usize = 4096;
/// How long to wait where the system gives no more connections.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);

/// Serves `routes` on `listener` until `stop`, and then lets connections end for at most `drain`. Each
/// request carries a [`crate::identity::Principal`] and, as `ConnectInfo`, where it comes from.
///
/// # Errors
/// Where TLS cannot be set up.
pub async fn serve(
    listener: TcpListener,
    routes: Router,
    store: &CredentialStore,
    revoked: RevocationList,
    stop: CancellationToken,
    drain: Duration,
) -> Result<(), IdentityError> {
    serve_with_timeouts(listener, routes, store, revoked, ConnectionTimeouts::default(), stop, drain).await
}

/// The same, with other limits.
///
/// # Errors
/// Where TLS cannot be set up.
pub async fn serve_with_timeouts(
    listener: TcpListener,
    routes: Router,
    store: &CredentialStore,
    revoked: RevocationList,
    timeouts: ConnectionTimeouts,
    stop: CancellationToken,
    drain: Duration,
) -> Result<(), IdentityError> {
    let acceptor = TlsAcceptor::from(Arc::new(store.server()?));
    let (room, tracker) = (Arc::new(Semaphore::new(MOST_CONNECTIONS)), TaskTracker::new());
    let unauthenticated = Arc::new(Semaphore::new(connection::MAX_UNAUTHENTICATED));
    // Dropped with this future, it ends what is still served then.
    let end = CancellationToken::new();
    let _ends = end.clone().drop_guard();
    while let Some(accepted) = stop.run_until_cancelled(accept(&listener, &room)).await {
        let Some((stream, from, permit)) = accepted else { continue };
        let connection = Connection {
            stream,
            from,
            acceptor: acceptor.clone(),
            routes: routes.clone(),
            revoked: revoked.clone(),
            unauthenticated: Arc::clone(&unauthenticated),
            timeouts,
            stop: stop.clone(),
        };
        let end = end.clone();
        tracker.spawn(async move {
            end.run_until_cancelled(connection.serve()).await;
            drop(permit);
        });
    }
    drop(listener);
    tracker.close();
    drop(tokio::time::timeout(drain, tracker.wait()).await);
    Ok(())
}

type Accepted = (tokio::net::TcpStream, std::net::SocketAddr, tokio::sync::OwnedSemaphorePermit);

/// The next connection; none where that one was gone already, or the system has no room for it.
async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> Option<Accepted> {
    let permit = Arc::clone(room).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, from)) => Some((stream, from, permit)),
        Err(error) => {
            tracing::debug!(%error, "a connection was not accepted");
            tokio::time::sleep(ACCEPT_AGAIN).await;
            None
        }
    }
}
