//! The door of a group of routes.

use crate::api::ErrorBody;
use crate::identity::{Caller, Right};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use bootstash_base::error::ErrorClass;

/// Lets only those at `routes` who have `right`. A stranger learns nothing, not even what there is. What
/// is ordered is logged, with who did.
pub fn guard<S: Clone + Send + Sync + 'static>(routes: Router<S>, right: Right) -> Router<S> {
    routes.route_layer(from_fn(move |request: Request, next: Next| {
        let refused = refusal(request.extensions().get::<Caller>(), &right);
        if refused.is_none() && right == Right::Operate {
            note(&request);
        }
        async move {
            match refused {
                Some(refusal) => refusal,
                None => next.run(request).await,
            }
        }
    }))
}

/// For whoever has to find out later what was done with a key. Neither query nor body: they may hold what is
/// none of a log's business.
fn note(request: &Request) {
    let identity = request.extensions().get().and_then(Caller::identity);
    if let Some(identity) = identity.filter(|_| !request.method().is_safe()) {
        tracing::info!(%identity, method = %request.method(), path = request.uri().path(), "ordered");
    }
}

/// What one who may not is told; none where he may. Who is not known is a stranger.
pub fn refusal(caller: Option<&Caller>, right: &Right) -> Option<Response> {
    let caller = caller.unwrap_or(&Caller::Stranger);
    if caller.may(right) {
        return None;
    }
    Some(match caller.identity() {
        None => stranger(),
        Some(identity) => {
            tracing::warn!(%identity, ?right, "refused: no such right");
            let error = format!("this is not for {identity} to do");
            (StatusCode::FORBIDDEN, Json(ErrorBody { error, kind: ErrorClass::Permanent })).into_response()
        }
    })
}

/// The same whatever was asked for.
fn stranger() -> Response {
    let error = "this needs a certificate".to_owned();
    (StatusCode::UNAUTHORIZED, Json(ErrorBody { error, kind: ErrorClass::Operator })).into_response()
}

/// Keeps strangers from all of `routes`, known or not, but for one path.
pub fn members_only(routes: Router, open: Option<&'static str>) -> Router {
    routes.layer(from_fn(move |request: Request, next: Next| async move {
        let member = matches!(request.extensions().get(), Some(Caller::Member { .. }));
        if member || open == Some(request.uri().path()) { next.run(request).await } else { stranger() }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Serial;
    use axum::body::Body;
    use axum::routing::get;
    use bootstash_base::testing::fail_on_warnings;
    use tower::ServiceExt as _;

    async fn ask(who: &str, right: Right, method: &str, path: &str) -> StatusCode {
        let routes = Router::new().route("/v1/images", get(async || ()).post(async || ()));
        let request = axum::http::Request::builder().method(method).uri(path);
        let mut request = request.body(Body::from("a body")).unwrap();
        let serial: Serial = serde_json::from_str("\"40\"").unwrap();
        request.extensions_mut().insert(Caller::Member { identity: who.parse().unwrap(), serial });
        guard(routes, right).oneshot(request).await.unwrap().status()
    }

    #[tokio::test]
    async fn the_log_tells_who_ordered_what_and_no_more() {
        let mut watch = fail_on_warnings();
        watch.expect("no such right");
        for (who, right, method) in [
            ("operator:ada", Right::Operate, "GET"),
            ("operator:ada", Right::Operate, "HEAD"),
            ("node:c1", Right::Follow, "POST"),
        ] {
            assert_eq!(ask(who, right, method, "/v1/images").await, StatusCode::OK);
        }
        assert_eq!(ask("node:c1", Right::Operate, "POST", "/v1/images").await, StatusCode::FORBIDDEN);
        assert!(!watch.all().iter().any(|line| line.contains("ordered")), "{:?}", watch.all());
        let asked = ask("operator:ada", Right::Operate, "POST", "/v1/images?token=bootstash-x").await;
        assert_eq!(asked, StatusCode::OK);
        let lines = watch.all();
        let line = lines.iter().find(|line| line.contains("ordered")).unwrap();
        assert!(line.starts_with("INFO "), "{line}");
        for part in ["identity=operator ada", "method=POST", "path=\"/v1/images\""] {
            assert!(line.contains(part), "{line}");
        }
        assert!(!line.contains("bootstash-x") && !line.contains("a body"), "{line}");
    }
}
