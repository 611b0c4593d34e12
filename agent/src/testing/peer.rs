//! A peer that answers what the test says, and notes what it was asked.

use axum::Router;
use axum::extract::Request;
use axum::http::header;
use axum::response::IntoResponse;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// The peer.
pub(crate) struct StubPeer {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
    _serving: AbortOnDropHandle<()>,
}

impl StubPeer {
    /// Answers everything with these bytes.
    pub(crate) async fn sends(bytes: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        let routes = Router::new().fallback(async move |request: Request| {
            noted.lock().unwrap().push(request.uri().path().to_owned());
            assert!(request.headers().get(header::RANGE).is_none());
            bytes.into_response()
        });
        let serving = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { url, asked, _serving: AbortOnDropHandle::new(serving) }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The paths it was asked for.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}
