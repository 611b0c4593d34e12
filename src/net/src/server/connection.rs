//! One connection, from its first byte to its end.

use super::exchange::Exchange;
use super::peer_session::PeerSession;
use super::{ConnectionTimeouts, Refusal, RevocationList, socket};
use crate::identity::{Identity, Principal, of_certificate};
use axum::Router;
use chrono::{DateTime, Utc};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

/// Unauthenticated clients at once; further ones wait within the time of their handshake.
pub(super) const MAX_UNAUTHENTICATED: usize = 32;

pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) from: SocketAddr,
    pub(super) acceptor: TlsAcceptor,
    pub(super) routes: Router,
    pub(super) revoked: RevocationList,
    pub(super) unauthenticated: Arc<Semaphore>,
    pub(super) timeouts: ConnectionTimeouts,
    pub(super) stop: CancellationToken,
}

impl Connection {
    /// Serves it to its end, which is nobody's failure but its own.
    pub(super) async fn serve(self) {
        let (from, timeouts) = (self.from, self.timeouts);
        if let Err(error) = socket::prepare(&self.stream) {
            return tracing::debug!(%from, %error, "a connection was gone at once");
        }
        let stream = match timeout(timeouts.handshake, self.acceptor.accept(self.stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::info!(%from, %error, "a connection was refused"),
            Err(_) => return tracing::debug!(%from, "a connection said nothing in time"),
        };
        let pass = match known(&stream) {
            Ok(known) => PeerSession::of(known, self.revoked.clone()),
            Err(error) => return tracing::info!(%from, %error, "a connection was refused"),
        };
        let (routes, pass) = match pass.revoked() {
            // They are told so, within the limits of those who have no certificate, and nothing else.
            Some(expelled) => (expelled_routes(expelled), PeerSession::of(None, self.revoked)),
            None => (self.routes, pass),
        };
        let exchange = Exchange { stream, routes, pass: pass.clone(), from, timeouts };
        if pass.is_member() {
            tokio::select! {
                biased;
                () = pass.ends() => {
                    tracing::info!(%from, who = %pass, "cut off: this certificate does not count any more");
                }
                () = exchange.serve(&self.stop) => (),
            }
        } else {
            let Ok(Ok(_turn)) = timeout(timeouts.handshake, self.unauthenticated.acquire()).await else {
                return;
            };
            drop(timeout(timeouts.unauthenticated, exchange.serve(&self.stop)).await);
        }
    }
}

/// One answer to whatever is asked.
fn expelled_routes(identity: &Identity) -> Router {
    let identity = identity.clone();
    Router::new().fallback(move || async move { Refusal::expelled(&identity) })
}

type Known = Option<(Principal, DateTime<Utc>)>;

/// Who is at the other end; none where no certificate was shown.
fn known(stream: &TlsStream<TcpStream>) -> Result<Known, crate::identity::IdentityError> {
    let (_, session) = stream.get_ref();
    match session.peer_certificates().and_then(<[_]>::first) {
        Some(certificate) => of_certificate(certificate).map(Some),
        None => Ok(None),
    }
}
