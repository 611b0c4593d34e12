//! `jobs`.

use super::cli::ListArgs;
use super::daemons::{Daemon, Daemons};
use super::failure::CommandError;
use super::output;
use super::render::{Column, ago, guest_text, low_trust, seconds, short_snapshot, size, table};
use bootstash_net::api::{JobOutcome, JobView, routes};
use chrono::{DateTime, Utc};

/// Lists registrations.
pub(super) async fn list(daemons: &Daemons, args: ListArgs) -> Result<(), CommandError> {
    let jobs: Vec<JobView> = daemons.need(Daemon::Registrar)?.get(routes::JOBS, &()).await?;
    if args.json { output::json(&jobs) } else { output::line(&jobs_text(&jobs, Utc::now())) }
}

fn jobs_text(jobs: &[JobView], now: DateTime<Utc>) -> String {
    if jobs.is_empty() {
        return "no registrations are on record".to_owned();
    }
    let columns = [
        Column::Right("JOB"),
        Column::Left("IMAGE"),
        Column::Left("STATE"),
        Column::Left("SUBMITTED"),
        Column::Right("TOOK"),
        Column::Left("RESULT"),
    ];
    let doubted = jobs.iter().filter_map(|job| match &job.outcome {
        Some(JobOutcome::Registered { doubt: Some(doubt), .. }) => {
            Some((format!("job {}, {}", job.id, job.name), doubt.clone()))
        }
        _ => None,
    });
    table(&columns, jobs.iter().map(|job| row(job, now)).collect()) + &low_trust(doubted)
}

fn row(job: &JobView, now: DateTime<Utc>) -> Vec<String> {
    let (state, result) = match &job.outcome {
        None => (job.step.to_string(), "-".to_owned()),
        Some(JobOutcome::Registered { snapshot, delta_bytes, doubt, .. }) => {
            let trust = if doubt.is_some() { ", low trust" } else { "" };
            ("done".to_owned(), format!("{}, delta {}{trust}", short_snapshot(snapshot), size(*delta_bytes)))
        }
        Some(JobOutcome::Failed { step, error, .. }) => {
            ("failed".to_owned(), format!("{step}: {}", guest_text(error)))
        }
    };
    let took: f64 = job.step_seconds.iter().map(|(_, seconds)| seconds).sum();
    vec![job.id.to_string(), job.name.to_string(), state, ago(job.submitted, now), seconds(took), result]
}

#[cfg(test)]
mod tests {
    use super::super::register::samples;
    use super::*;
    use bootstash_base::error::ErrorClass;
    use bootstash_net::api::{JobId, Step};

    #[test]
    fn says_why_a_cache_is_trusted_little() {
        let mut job = samples::registered();
        let Some(JobOutcome::Registered { doubt, .. }) = &mut job.outcome else { panic!("failed") };
        *doubt = Some("only one boot was made".to_owned());
        let text = jobs_text(&[job.clone()], job.submitted);
        assert!(text.contains("bs-000042, delta 33M, low trust\n"), "{text}");
        assert!(text.ends_with("\n\nlow trust:\n  job 7, debian12: only one boot was made"), "{text}");
    }

    #[test]
    fn tells_what_runs_what_is_done_and_what_failed() {
        let running = samples::capturing();
        let now = running.submitted;
        let done = JobView { id: JobId(8), ..samples::registered() };
        let failed = JobView {
            id: JobId(9),
            outcome: Some(JobOutcome::Failed {
                step: Step::Capture,
                error: "no login\x1b[0m".into(),
                kind: ErrorClass::Permanent,
            }),
            ..samples::capturing()
        };
        assert_eq!(
            jobs_text(&[running, done, failed], now),
            "JOB  IMAGE     STATE    SUBMITTED     TOOK  RESULT\n\
             \x20 7  debian12  capture  0 s ago      0.3 s  -\n\
             \x20 8  debian12  done     0 s ago    130.9 s  bs-000042, delta 33M\n\
             \x20 9  debian12  failed   0 s ago      0.3 s  capture: no login"
        );
    }
}
