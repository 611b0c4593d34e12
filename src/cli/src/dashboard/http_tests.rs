//! What is served to whom.

use super::access::{Access, Secret};
use super::history::History;
use super::http::{Shared, routes};
use crate::cluster::samples;
use axum::Router;
use axum::body::Body;
use axum::http::header::{CONTENT_SECURITY_POLICY, COOKIE, HOST, LOCATION, SET_COOKIE};
use axum::http::{Method, Request, Response, StatusCode};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tower::ServiceExt;

struct Served {
    routes: Router,
    key: String,
}

fn served() -> Served {
    let (link, session) = (Secret::new().unwrap(), Secret::new().unwrap());
    let key = link.reveal().to_owned();
    // What was told last stays, without whoever told it.
    let (_, told) = watch::channel(samples::view());
    let shared = Shared {
        access: Arc::new(Mutex::new(Access::new(link, session))),
        history: Arc::new(Mutex::new(History::default())),
        told,
        interval: Duration::from_secs(2),
    };
    Served { routes: routes(shared), key }
}

impl Served {
    async fn get(&self, path: &str, host: &str, cookie: Option<&str>) -> Response<Body> {
        self.send(Method::GET, path, host, cookie).await
    }

    async fn send(&self, method: Method, path: &str, host: &str, cookie: Option<&str>) -> Response<Body> {
        let mut request = Request::builder().method(method).uri(path).header(HOST, host);
        if let Some(cookie) = cookie {
            request = request.header(COOKIE, cookie);
        }
        self.routes.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    /// Opens the link, and returns the cookie.
    async fn open(&self) -> String {
        let opened = self.get(&format!("/open?key={}", self.key), "localhost:7433", None).await;
        assert_eq!(
            (opened.status(), &opened.headers()[LOCATION]),
            (StatusCode::SEE_OTHER, &"/".parse().unwrap())
        );
        let cookie = opened.headers()[SET_COOKIE].to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }
}

async fn body(response: Response<Body>) -> String {
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn nobody_sees_anything_without_the_link_and_it_counts_once() {
    let served = served();
    for path in ["/", "/sections", "/open", "/open?key=", "/open?key=guess"] {
        let refused = served.get(path, "127.0.0.1:7433", None).await;
        assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{path}");
        assert!(!body(refused).await.contains("compute-17"), "{path}");
    }
    let cookie = served.open().await;
    let link = format!("/open?key={}", served.key);
    assert_eq!(served.get(&link, "localhost", None).await.status(), StatusCode::FORBIDDEN);
    assert_eq!(served.get(&link, "localhost", Some(&cookie)).await.status(), StatusCode::SEE_OTHER);
    assert_eq!(served.get("/", "localhost", Some(&cookie)).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn the_page_runs_its_own_script_alone_and_is_kept_nowhere() {
    let served = served();
    let cookie = served.open().await;
    let page = served.get("/", "localhost", Some(&cookie)).await;
    let policy = page.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(page.headers()["cache-control"], "no-store");
    let nonce = policy.split("script-src 'nonce-").nth(1).unwrap().split('\'').next().unwrap().to_owned();
    let page = body(page).await;
    assert!(page.contains(&format!("<script nonce=\"{nonce}\">")) && page.contains("compute-17"));
    let sections = body(served.get("/sections", "localhost", Some(&cookie)).await).await;
    let sections: BTreeMap<String, String> = serde_json::from_str(&sections).unwrap();
    assert!(sections["nodes"].contains("compute-17") && page.contains(&sections["nodes"]));
}

#[tokio::test]
async fn names_that_others_point_here_and_orders_are_refused() {
    let served = served();
    let cookie = served.open().await;
    let other = served.get("/", "evil.example:7433", Some(&cookie)).await;
    assert_eq!(other.status(), StatusCode::MISDIRECTED_REQUEST);
    for method in [Method::POST, Method::DELETE, Method::PUT] {
        let order = served.send(method.clone(), "/", "localhost", Some(&cookie)).await;
        assert_eq!(order.status(), StatusCode::METHOD_NOT_ALLOWED, "{method}");
    }
    assert_eq!(served.get("/v1/nodes", "localhost", Some(&cookie)).await.status(), StatusCode::NOT_FOUND);
}
