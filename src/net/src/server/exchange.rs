//! Requests and answers on one connection.

use super::peer_session::PeerSession;
use super::{ConnectionTimeouts, body};
use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tower::{ServiceExt as _, service_fn};

/// Of a request's headers.
const HEADER_BYTES: usize = 16 << 10;

/// What is said on a connection after its handshake.
pub(super) struct Exchange {
    pub(super) stream: TlsStream<TcpStream>,
    pub(super) routes: Router,
    pub(super) pass: PeerSession,
    pub(super) from: SocketAddr,
    pub(super) timeouts: ConnectionTimeouts,
}

impl Exchange {
    /// Serves it to its end; once `stop` is cancelled, the request under way is the last.
    pub(super) async fn serve(self, stop: &CancellationToken) {
        let (from, timeouts) = (self.from, self.timeouts);
        let mut stream = TimeoutStream::new(self.stream);
        stream.set_read_timeout(Some(timeouts.silence));
        stream.set_write_timeout(Some(timeouts.silence));
        let (routes, pass) = (self.routes, self.pass);
        let service =
            service_fn(move |request| answer(request, routes.clone(), pass.clone(), from, timeouts.body));
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(timeouts.headers)
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
}

async fn answer(
    mut request: Request<Incoming>,
    routes: Router,
    pass: PeerSession,
    from: SocketAddr,
    in_time: Duration,
) -> Result<Response, Infallible> {
    request.extensions_mut().insert(pass.caller().clone());
    request.extensions_mut().insert(ConnectInfo(from));
    let response = match body::whole(request, in_time).await {
        Ok(_) if !pass.counts() => pending().await,
        Ok(request) => routes.oneshot(request).await?,
        Err(refusal) => refusal,
    };
    // What woke up because somebody was expelled must not be answered to that very one: the cut comes.
    if pass.counts() { Ok(response) } else { pending().await }
}
