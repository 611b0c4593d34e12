//! Jobs: list, follow, cancel.

use super::State;
use axum::Json;
use axum::extract::{Path, Query, State as Shared};
use bootstash_base::error::Classified;
use bootstash_net::api::{CancelReply, JobId, JobView};
use bootstash_net::server::Refusal;
use serde::Deserialize;
use std::time::Duration;

const LONGEST_WAIT: Duration = Duration::from_secs(25);

/// How long a step may take to end while somebody waits for the answer.
const CANCEL_LIMIT: Duration = Duration::from_secs(60);

/// A job was not cancelled while somebody waited.
#[derive(Debug, thiserror::Error, Classified)]
#[error("job {job} is being cancelled; it ends when the step it is at has ended: see `bootstash jobs`")]
#[class(transient)]
struct CancelTakesLong {
    job: JobId,
}

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
    let mut view = state.jobs.watch(id).ok_or_else(|| no_such_job(id))?;
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

pub(super) async fn cancel(
    Shared(state): Shared<State>,
    Path(id): Path<JobId>,
) -> Result<Json<CancelReply>, Refusal> {
    let reply = tokio::time::timeout(CANCEL_LIMIT, state.runner.cancel(id)).await;
    let reply = reply.map_err(|_| CancelTakesLong { job: id })?;
    reply.map(Json).ok_or_else(|| no_such_job(id))
}

fn no_such_job(id: JobId) -> Refusal {
    Refusal::not_found(format!("there is no job {id}"))
}
