//! What is served: the link, the page, its sections. All else is refused: whoever did not open the link, whoever calls
//! this host by another name, and every order, as there is none.

use super::access::{Access, Opened, Secret, is_loopback_name};
use super::history::History;
use super::page::{self, Look};
use crate::cluster::ClusterView;
use axum::extract::{Query, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, HOST, LOCATION, REFERRER_POLICY, SET_COOKIE,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use chrono::Utc;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// The path that opens the dashboard.
pub(super) const OPEN: &str = "/open";

/// What all requests share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) access: Arc<Mutex<Access>>,
    pub(super) history: Arc<Mutex<History>>,
    pub(super) told: watch::Receiver<ClusterView>,
    pub(super) interval: Duration,
}

#[derive(Deserialize)]
struct Link {
    #[serde(default)]
    key: String,
}

/// All that is served.
pub(super) fn routes(shared: Shared) -> Router {
    let for_admitted = Router::new()
        .route("/", get(show))
        .route("/sections", get(sections))
        .layer(from_fn_with_state(shared.clone(), admitted_only));
    let open = Router::new().route(OPEN, get(open));
    for_admitted.merge(open).layer(from_fn(by_loopback_name)).layer(from_fn(with_headers)).with_state(shared)
}

async fn open(State(shared): State<Shared>, Query(link): Query<Link>, headers: HeaderMap) -> Response {
    let mut access = shared.access.lock().unwrap_or_else(PoisonError::into_inner);
    match access.open(&link.key, cookies(&headers)) {
        Opened::Now { set_cookie } => {
            (StatusCode::SEE_OTHER, [(LOCATION, "/".to_owned()), (SET_COOKIE, set_cookie)]).into_response()
        }
        Opened::Before => (StatusCode::SEE_OTHER, [(LOCATION, "/")]).into_response(),
        Opened::Refused => refused(),
    }
}

async fn show(State(shared): State<Shared>) -> Response {
    let Ok(nonce) = Secret::new() else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let nonce = nonce.reveal();
    let html = look(&shared, |look| page::page(look, nonce, shared.interval)).into_string();
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; img-src data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    ([(CONTENT_SECURITY_POLICY, policy)], Html(html)).into_response()
}

async fn sections(State(shared): State<Shared>) -> Response {
    let sections = look(&shared, page::sections);
    let sections: BTreeMap<_, _> =
        sections.into_iter().map(|section| (section.id, section.html.into_string())).collect();
    Json(sections).into_response()
}

fn look<T>(shared: &Shared, show: impl FnOnce(&Look<'_>) -> T) -> T {
    let view = shared.told.borrow();
    let history = shared.history.lock().unwrap_or_else(PoisonError::into_inner);
    show(&Look { view: &view, history: &history, now: Utc::now() })
}

async fn admitted_only(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let admits = {
        let access = shared.access.lock().unwrap_or_else(PoisonError::into_inner);
        access.admits(cookies(request.headers()))
    };
    if admits { next.run(request).await } else { refused() }
}

async fn by_loopback_name(request: Request, next: Next) -> Response {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    match host {
        Some(host) if is_loopback_name(host) => next.run(request).await,
        _ => (StatusCode::MISDIRECTED_REQUEST, "call it 127.0.0.1 or localhost").into_response(),
    }
}

/// Nothing is kept, guessed, framed or told to others.
async fn with_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    const ALWAYS: [(HeaderName, &str); 3] =
        [(CACHE_CONTROL, "no-store"), (X_CONTENT_TYPE_OPTIONS, "nosniff"), (REFERRER_POLICY, "no-referrer")];
    for (name, value) in ALWAYS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let nothing = HeaderValue::from_static("default-src 'none'; img-src data:; frame-ancestors 'none'");
    response.headers_mut().entry(CONTENT_SECURITY_POLICY).or_insert(nothing);
    response
}

fn cookies(headers: &HeaderMap) -> Option<&str> {
    headers.get(COOKIE)?.to_str().ok()
}

fn refused() -> Response {
    (StatusCode::FORBIDDEN, Html(page::refusal().into_string())).into_response()
}
