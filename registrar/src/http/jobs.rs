//! Jobs: list, follow.

use super::State;
use axum::Json;
use axum::extract::{Path, Query, State as Shared};
use bootstash_net::api::{JobId, JobView};
use bootstash_net::server::Refusal;
use serde::Deserialize;
use std::time::Duration;

const LONGEST_WAIT: Duration = Duration::from_secs(25);

/// How to follow a job.
#[derive(Debug, Deserialize)]
pub(super) struct Follow {
    /// Wait for a change after this one.
    after: Option<u64>,
}

pub(super) async fn list(Shared(state): Shared<State>) -> Json<Vec<JobView>> {
    Json(state.jobs.views())
}

pub(super) async fn follow(
    Shared(state): Shared<State>,
    Path(id): Path<JobId>,
    Query(follow): Query<Follow>,
) -> Result<Json<JobView>, Refusal> {
    let mut view = state.jobs.watch(id).ok_or_else(|| Refusal::not_found(format!("there is no job {id}")))?;
    if let Some(after) = follow.after {
        let news = view.wait_for(|view| view.seq != after);
        tokio::select! {
            _ = news => (),
            () = tokio::time::sleep(LONGEST_WAIT) => (),
            () = state.stop.cancelled() => (),
        }
    }
    let view = view.borrow().clone();
    Ok(Json(view))
}
