//! A peer that answers what the test says, and notes what it was asked.

use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// The path of each request, and from which byte on.
type Requests = Arc<Mutex<Vec<(String, usize)>>>;

/// The peer.
pub(crate) struct StubPeer {
    url: String,
    requests: Requests,
    _serving: AbortOnDropHandle<()>,
}

impl StubPeer {
    /// Answers everything with these bytes.
    pub(crate) async fn sends(bytes: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Requests::default();
        let noted = Arc::clone(&requests);
        let routes = Router::new().fallback(async move |request: Request| {
            let range = request.headers().get(header::RANGE).map(|range| range.to_str().unwrap());
            let offset = range.map(|it| it.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap());
            let from = offset.map_or(0, |offset| offset.parse().unwrap());
            noted.lock().unwrap().push((request.uri().path().to_owned(), from));
            let status = if range.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
            (status, bytes[from..].to_vec())
        });
        let serving = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { url, requests, _serving: AbortOnDropHandle::new(serving) }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The paths it was asked for.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.requests.lock().unwrap().iter().map(|(path, _)| path.clone()).collect()
    }

    /// From which byte on each was asked for.
    pub(crate) fn offsets(&self) -> Vec<usize> {
        self.requests.lock().unwrap().iter().map(|(_, from)| *from).collect()
    }
}
