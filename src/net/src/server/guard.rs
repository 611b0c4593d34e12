//! The permission that a group of routes asks for.

use super::Refusal;
use crate::identity::{Permission, Principal};
use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;

/// Lets only those at `routes` who have `permission`. An unauthenticated client learns nothing, not even what there is. What
/// is ordered is logged, with who did.
pub fn guard<S: Clone + Send + Sync + 'static>(routes: Router<S>, permission: Permission) -> Router<S> {
    routes.route_layer(from_fn(move |request: Request, next: Next| {
        let refused = missing_permission(request.extensions().get::<Principal>(), &permission);
        if refused.is_none() && permission == Permission::Operate {
            note(&request);
        }
        async move {
            match refused {
                Some(refusal) => refusal.into_response(),
                None => next.run(request).await,
            }
        }
    }))
}

/// For whoever has to find out later what was done with a key. Neither query nor body: they may hold what is
/// none of a log's business.
fn note(request: &Request) {
    let identity = request.extensions().get().and_then(Principal::identity);
    if let Some(identity) = identity.filter(|_| !request.method().is_safe()) {
        tracing::info!(%identity, method = %request.method(), path = request.uri().path(), "ordered");
    }
}

/// The reply to a caller without `permission`; none where the caller has it. An unknown caller has none.
pub fn missing_permission(caller: Option<&Principal>, permission: &Permission) -> Option<Refusal> {
    let caller = caller.unwrap_or(&Principal::Unauthenticated);
    if caller.may(permission) {
        return None;
    }
    Some(match caller.identity() {
        None => unauthenticated(),
        Some(identity) => {
            tracing::warn!(%identity, ?permission, "refused: no such permission");
            Refusal::forbidden(format!("this is not for {identity} to do"))
        }
    })
}

/// The same whatever was asked for.
fn unauthenticated() -> Refusal {
    Refusal::unauthorized("this needs a certificate")
}

/// Keeps unauthenticated clients from all of `routes`, known or not, but for one path.
pub fn members_only(routes: Router, open: Option<&'static str>) -> Router {
    routes.layer(from_fn(move |request: Request, next: Next| async move {
        let member = matches!(request.extensions().get(), Some(Principal::Member { .. }));
        if member || open == Some(request.uri().path()) {
            next.run(request).await
        } else {
            unauthenticated().into_response()
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Serial;
    use axum::body::Body;
    use axum::http::StatusCode;
    use axum::routing::get;
    use bootstash_base::testing::fail_on_warnings;
    use tower::ServiceExt as _;

    async fn ask(who: &str, permission: Permission, method: &str, path: &str) -> StatusCode {
        let routes = Router::new().route("/v1/images", get(async || ()).post(async || ()));
        let request = axum::http::Request::builder().method(method).uri(path);
        let mut request = request.body(Body::from("a body")).unwrap();
        let serial: Serial = serde_json::from_str("\"40\"").unwrap();
        request.extensions_mut().insert(Principal::Member { identity: who.parse().unwrap(), serial });
        guard(routes, permission).oneshot(request).await.unwrap().status()
    }

    #[tokio::test]
    async fn the_log_tells_who_ordered_what_and_no_more() {
        let mut watch = fail_on_warnings();
        watch.expect("no such permission");
        for (who, permission, method) in [
            ("operator:ada", Permission::Operate, "GET"),
            ("operator:ada", Permission::Operate, "HEAD"),
            ("node:c1", Permission::Follow, "POST"),
        ] {
            assert_eq!(ask(who, permission, method, "/v1/images").await, StatusCode::OK);
        }
        assert_eq!(ask("node:c1", Permission::Operate, "POST", "/v1/images").await, StatusCode::FORBIDDEN);
        assert!(!watch.all().iter().any(|line| line.contains("ordered")), "{:?}", watch.all());
        let asked = ask("operator:ada", Permission::Operate, "POST", "/v1/images?token=bootstash-x").await;
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
