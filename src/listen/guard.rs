//! The door of a group of routes.

use crate::api::ErrorBody;
use crate::fault::FaultKind;
use crate::identity::{Caller, Right};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};

/// Lets only those at `routes` who have `right`. A stranger learns nothing, not even what there is.
pub fn guard<S: Clone + Send + Sync + 'static>(routes: Router<S>, right: Right) -> Router<S> {
    routes.route_layer(from_fn(move |request: Request, next: Next| {
        let refused = refusal(request.extensions().get::<Caller>(), &right);
        async move {
            match refused {
                Some(refusal) => refusal,
                None => next.run(request).await,
            }
        }
    }))
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
            (StatusCode::FORBIDDEN, Json(ErrorBody { error, kind: FaultKind::Permanent })).into_response()
        }
    })
}

/// The same whatever was asked for.
fn stranger() -> Response {
    let error = "this needs a certificate".to_owned();
    (StatusCode::UNAUTHORIZED, Json(ErrorBody { error, kind: FaultKind::Operator })).into_response()
}

/// Keeps strangers from all of `routes`, known or not, but for one path.
pub fn members_only(routes: Router, open: Option<&'static str>) -> Router {
    routes.layer(from_fn(move |request: Request, next: Next| async move {
        let member = matches!(request.extensions().get(), Some(Caller::Member { .. }));
        if member || open == Some(request.uri().path()) { next.run(request).await } else { stranger() }
    }))
}
