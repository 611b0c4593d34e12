//! `cancel`.

use super::cli::CancelArgs;
use super::daemons::{Daemon, Daemons};
use super::failure::CommandError;
use super::output;
use bootstash_net::api::{CancelReply, Client, JobId, JobOutcome, routes};

/// Cancels a registration.
pub(super) async fn cancel(daemons: &Daemons, args: CancelArgs) -> Result<(), CommandError> {
    let reply = ask(&daemons.need(Daemon::Registrar)?, args.job).await?;
    if args.json { output::json(&reply) } else { output::line(&cancelled_text(&reply)) }
}

/// Asks the registrar to cancel a job, which may end as another one before.
pub(super) async fn ask(registrar: &Client, job: JobId) -> Result<CancelReply, CommandError> {
    Ok(registrar.delete(&routes::JOB.replace("{id}", &job.to_string()), &()).await?)
}

/// What came of it.
pub(super) fn cancelled_text(reply: &CancelReply) -> String {
    let (job, name) = (reply.job.id, &reply.job.name);
    match &reply.job.outcome {
        Some(JobOutcome::Cancelled { step }) if reply.cancelled && reply.job.follows_up => format!(
            "cancelled job {job}, the other boots of {name}, at {step}; nodes keep the image as they have it, and \
             `bootstash register` again makes them"
        ),
        Some(JobOutcome::Cancelled { step }) if reply.cancelled => {
            format!("cancelled job {job}, the registration of {name}, at {step}; nothing of it is left")
        }
        Some(JobOutcome::Cancelled { .. }) => format!("job {job} was cancelled before; nothing changed"),
        Some(JobOutcome::Registered { .. }) => {
            format!("job {job} has registered {name} already; `bootstash deregister {name}` takes that back")
        }
        Some(JobOutcome::Failed { .. }) => format!("job {job} has failed already; nothing changed"),
        None => format!("job {job} goes on"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::register::samples;
    use super::super::stub::{self, Stub};
    use super::*;
    use axum::extract::Path;
    use bootstash_base::error::ErrorClass;
    use bootstash_net::api::{JobView, Step};

    fn cancelled_job() -> JobView {
        JobView { outcome: Some(JobOutcome::Cancelled { step: Step::Capture }), ..samples::capturing() }
    }

    #[tokio::test]
    async fn cancels_by_number_and_shows_what_came_of_it() {
        let delete = |Path(id): Path<u64>| async move {
            if id != 7 {
                return Err(stub::refusal(404, "there is no job 8", ErrorClass::Permanent));
            }
            Ok(axum::Json(CancelReply { cancelled: true, job: cancelled_job() }))
        };
        let stub = Stub::registrar(axum::Router::new().route(routes::JOB, axum::routing::delete(delete)));
        let client = stub.daemons().need(Daemon::Registrar).unwrap();
        assert_eq!(
            cancelled_text(&ask(&client, JobId(7)).await.unwrap()),
            "cancelled job 7, the registration of debian12, at capture; nothing of it is left"
        );
        let error = ask(&client, JobId(8)).await.unwrap_err();
        assert_eq!(super::super::failure::text(&error), "error: there is no job 8");
    }

    #[test]
    fn what_had_ended_before_is_said_and_is_no_error() {
        let text = |job| cancelled_text(&CancelReply { cancelled: false, job });
        assert_eq!(text(cancelled_job()), "job 7 was cancelled before; nothing changed");
        let registered = text(samples::registered());
        assert!(registered.contains("`bootstash deregister debian12` takes that back"), "{registered}");
    }
}
