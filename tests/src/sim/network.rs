//! The network between hosts: it delays, loses and repeats requests, loses answers, cuts and damages
//! bodies, and partitions hosts from each other for a while. What it carries reaches the real routes.

use super::delivery::{self, Delivery};
use super::host::{Host, Life};
use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use bootstash_net::api::{Transport, TransportError};
use bootstash_net::identity::{Identity, Principal};
use bytes::Bytes;
use reqwest::{Request, Response};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;
use tower::ServiceExt;

/// A connection that is not made in this time fails.
const CONNECT_MS: u64 = 10_000;
/// A request that was held up somewhere arrives after at most this time.
const LATE_MS: u64 = 40_000;

/// What answers at an address.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) routes: Router,
    pub(super) life: Life,
    pub(super) observer: Arc<dyn Observer>,
}

/// Sees each answer at the instant it is given.
pub(super) trait Observer: std::fmt::Debug + Send + Sync {
    /// `node` is given `body` for a request of `path`.
    fn answers(&self, node: &str, path: &str, request: &[u8], body: &[u8]);
}

/// How likely what goes wrong, in a thousand requests.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FaultRates {
    pub(super) lost: u32,
    pub(super) answer_lost: u32,
    pub(super) repeated: u32,
    pub(super) refused: u32,
    pub(super) cut: u32,
    pub(super) damaged: u32,
}

/// Servers by address, hosts that are partitioned, and how often what goes wrong.
#[derive(Debug, Default)]
pub(super) struct Network {
    servers: Mutex<BTreeMap<String, Server>>,
    partitioned: Mutex<BTreeSet<String>>,
    faults: Mutex<FaultRates>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Network {
    /// From now on `server` answers at `address`.
    pub(super) fn serve(&self, address: &str, server: Server) {
        lock(&self.servers).insert(address.to_owned(), server);
    }

    /// Nobody answers there any more.
    pub(super) fn close(&self, address: &str) {
        lock(&self.servers).remove(address);
    }

    pub(super) fn set_fault_rates(&self, faults: FaultRates) {
        *lock(&self.faults) = faults;
    }

    /// Partitions a host from all others, or reconnects it.
    pub(super) fn partition(&self, host: &str, partitioned: bool) {
        match partitioned {
            true => lock(&self.partitioned).insert(host.to_owned()),
            false => lock(&self.partitioned).remove(host),
        };
    }

    fn delivery(&self, host: &Host, path: &str) -> Delivery {
        if lock(&self.partitioned).contains(&host.name) {
            return Delivery::Lost;
        }
        delivery::delivery(host, *lock(&self.faults), path)
    }

    fn server(&self, address: &str) -> Result<Server, TransportError> {
        lock(&self.servers).get(address).cloned().ok_or_else(|| TransportError::new("connection refused"))
    }
}

/// The connections of one daemon into the network, while it lives.
#[derive(Clone, Debug)]
pub(super) struct SimTransport {
    pub(super) network: Arc<Network>,
    pub(super) life: Life,
    /// Nothing is lost on it, as on a Unix socket.
    pub(super) sound: bool,
}

/// An answer, whole.
pub(super) struct Answer {
    parts: axum::http::response::Parts,
    body: Bytes,
}

#[async_trait]
impl Transport for SimTransport {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        self.life.or_never().await;
        let host = &self.life.host;
        let path = request.url().path().to_owned();
        let delivery = if self.sound { Delivery::Fine } else { self.network.delivery(host, &path) };
        host.note(format_args!("{} {path}: {delivery:?}", request.method()));
        self.life.pause(0, 15).await;
        let answer = self.answer(request, delivery).await;
        self.life.pause(0, 15).await;
        let (answer, server) = answer?;
        if !answer.parts.status.is_success() {
            host.note(format_args!("{path}: {}", answer.parts.status));
        }
        Ok(delivery::response(answer.parts, answer.body, delivery, self.life.clone(), server))
    }
}

impl SimTransport {
    async fn answer(&self, request: Request, delivery: Delivery) -> Result<(Answer, Life), TransportError> {
        match delivery {
            Delivery::Lost => {
                self.life.pause(CONNECT_MS, CONNECT_MS).await;
                Err(TransportError::new("timed out"))
            }
            Delivery::Late => {
                let (transport, late) = (self.clone(), request.try_clone());
                tokio::spawn(async move {
                    transport.life.host.pause(0, LATE_MS).await;
                    if let Some(late) = late {
                        let _ = transport.deliver(late).await;
                    }
                });
                self.life.pause(0, CONNECT_MS).await;
                Err(TransportError::new("connection reset"))
            }
            Delivery::AnswerLost => {
                self.deliver(request).await?;
                Err(TransportError::new("connection reset"))
            }
            Delivery::Refused => Ok((delivery::refusal(), self.life.clone())),
            Delivery::Fine | Delivery::Cut | Delivery::Damaged => self.deliver(request).await,
        }
    }

    /// Takes it to who answers, which it does whether or not anybody waits for that.
    async fn deliver(&self, request: Request) -> Result<(Answer, Life), TransportError> {
        let address = request.url().host_str().unwrap_or_default().to_owned();
        let server = self.network.server(&address)?;
        let (reply, answer) = oneshot::channel();
        let (name, served) = (self.life.host.name.clone(), server.clone());
        tokio::spawn(async move {
            let _ = reply.send(serve(served, name, request).await);
        });
        tokio::select! {
            biased;
            () = server.life.killed() => Err(TransportError::new("connection reset")),
            answer = answer => match answer {
                Ok(answer) => Ok((answer?, server.life)),
                Err(_) => Err(TransportError::new("connection closed")),
            },
        }
    }
}

async fn serve(server: Server, node: String, request: Request) -> Result<Answer, TransportError> {
    let path = request.url().path().to_owned();
    let sent = request.body().and_then(|body| body.as_bytes()).unwrap_or_default().to_vec();
    let mut request = axum::http::Request::try_from(request).map_err(TransportError::new)?;
    if let Some(caller) = caller(&node) {
        request.extensions_mut().insert(caller);
    }
    let response = match server.routes.oneshot(request.map(Body::new)).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.map_err(TransportError::new)?;
    if parts.status.is_success() && !server.life.is_killed() {
        server.observer.answers(&node, &path, &sent, &body);
    }
    Ok(Answer { parts, body })
}

/// What TLS would have told.
fn caller(node: &str) -> Option<Principal> {
    let (node, serial) = (node.parse().ok()?, serde_json::from_str("\"00\"").ok()?);
    Some(Principal::Member { identity: Identity::Node(node), serial })
}

impl Answer {
    pub(super) fn new(parts: axum::http::response::Parts, body: Bytes) -> Self {
        Self { parts, body }
    }
}
