//! One connection, from its first byte to its end.

use super::{Gate, Patience, body, socket};
use crate::identity::{Caller, of_certificate};
use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::Request;
use chrono::{DateTime, Utc};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// Strangers at once; who comes beyond them waits within his handshake's time.
pub(super) const MOST_STRANGERS: usize = 32;
/// Of a request's headers.
const HEADER_BYTES: usize = 16 << 10;

pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) from: SocketAddr,
    pub(super) acceptor: TlsAcceptor,
    pub(super) routes: Router,
    pub(super) gate: Gate,
    pub(super) strangers: Arc<Semaphore>,
    pub(super) patience: Patience,
    pub(super) stop: CancellationToken,
}

impl Connection {
    /// Serves it to its end, which is nobody's failure but its own.
    pub(super) async fn serve(self) {
        let (from, patience) = (self.from, self.patience);
        if let Err(error) = socket::prepare(&self.stream) {
            return tracing::debug!(%from, %error, "a connection was gone at once");
        }
        let stream = match timeout(patience.handshake, self.acceptor.accept(self.stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::info!(%from, %error, "a connection was refused"),
            Err(_) => return tracing::debug!(%from, "a connection said nothing in time"),
        };
        let known = match known(&stream) {
            Ok(known) => known,
            Err(error) => return tracing::info!(%from, %error, "a connection was refused"),
        };
        let (gate, strangers, stop) = (self.gate, self.strangers, self.stop);
        match known {
            Some((caller @ Caller::Member { .. }, expires)) => {
                let Caller::Member { identity, serial } = &caller else { return };
                let (identity, serial) = (identity.clone(), serial.clone());
                tokio::select! {
                    biased;
                    () = gate.closes_for(&serial, expires) => {
                        tracing::info!(%from, %identity, %serial, "cut off: this certificate does not count any more");
                    }
                    () = http(stream, self.routes, caller, from, patience, &stop) => (),
                }
            }
            _ => {
                let Ok(Ok(_turn)) = timeout(patience.handshake, strangers.acquire()).await else { return };
                let served = http(stream, self.routes, Caller::Stranger, from, patience, &stop);
                let _ = timeout(patience.stranger, served).await;
            }
        }
    }
}

type Known = Option<(Caller, DateTime<Utc>)>;

/// Who is at the other end; none where no certificate was shown.
fn known(stream: &TlsStream<TcpStream>) -> Result<Known, crate::identity::IdentityError> {
    let (_, session) = stream.get_ref();
    match session.peer_certificates().and_then(<[_]>::first) {
        Some(certificate) => of_certificate(certificate).map(Some),
        None => Ok(None),
    }
}

async fn http(
    stream: TlsStream<TcpStream>,
    routes: Router,
    caller: Caller,
    from: SocketAddr,
    patience: Patience,
    stop: &CancellationToken,
) {
    let mut stream = TimeoutStream::new(stream);
    stream.set_read_timeout(Some(patience.silence));
    stream.set_write_timeout(Some(patience.silence));
    let service = tower::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(caller.clone());
        request.extensions_mut().insert(ConnectInfo(from));
        let routes = routes.clone();
        async move {
            match body::whole(request, patience.body).await {
                Ok(request) => routes.oneshot(request).await,
                Err(refusal) => Ok(refusal),
            }
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.headers)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(service));
    let mut served = pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%from, %error, "a connection broke");
    }
}
