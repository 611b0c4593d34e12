//! `jobs`.

use super::cli::ListArgs;
use super::daemons::{Daemon, Daemons};
use super::failure::CommandError;
use super::output;
use super::render::{Column, ago, clip, fitted, guest_text, low_trust, seconds, short_snapshot, size, table};
use bootstash_net::api::{JobOutcome, JobView, Step, routes};
use chrono::{DateTime, Utc};

/// What fits a terminal; a long result ends with an ellipsis, `--json` has it whole.
const WIDTH_COLUMNS: usize = 100;
/// What is left of a long name.
const NAME_COLUMNS: usize = 24;

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
    let rows = jobs.iter().map(|job| row(job, now)).collect();
    table(&columns, fitted(&columns, rows, WIDTH_COLUMNS)) + &low_trust(doubted)
}

fn row(job: &JobView, now: DateTime<Utc>) -> Vec<String> {
    let (state, result) = state_and_result(job);
    let name = clip(job.name.as_str(), NAME_COLUMNS);
    vec![job.id.to_string(), name, state, ago(job.submitted, now), seconds(seconds_taken(job)), result]
}

/// What it took so far, in finished steps.
pub(super) fn seconds_taken(job: &JobView) -> f64 {
    job.step_seconds.iter().map(|(_, seconds)| seconds).sum()
}

/// How far it is, in tenths. A step counts as one, a capture, which takes nearly all the time, as five: boots fill it.
pub(super) fn tenths_done(job: &JobView) -> usize {
    match job.step {
        Step::Inspect => 0,
        Step::Capture => 1 + (job.progress.boot.unwrap_or(0) as usize).min(4),
        Step::Verify => 6,
        Step::Import => 7,
        Step::Snapshot => 8,
        Step::Publish => 9,
    }
}

/// One word for where it is, and what came of it, or what it waits for.
pub(super) fn state_and_result(job: &JobView) -> (String, String) {
    match &job.outcome {
        None => match &job.progress.waiting {
            Some(what) => ("waiting".to_owned(), format!("{} waits {}", job.step, guest_text(what))),
            None if job.follows_up => (job.step.to_string(), "its other boots".to_owned()),
            None => (job.step.to_string(), "-".to_owned()),
        },
        Some(JobOutcome::Registered { snapshot, delta_bytes, doubt, .. }) => {
            let trust = if doubt.is_some() { ", low trust" } else { "" };
            let what = if job.follows_up { "its other boots, " } else { "" };
            let (snapshot, delta) = (short_snapshot(snapshot), size(*delta_bytes));
            ("done".to_owned(), format!("{what}{snapshot}, delta {delta}{trust}"))
        }
        Some(JobOutcome::Failed { step, error, .. }) => {
            ("failed".to_owned(), format!("{step}: {}", guest_text(error)))
        }
        Some(JobOutcome::Cancelled { step }) => ("cancelled".to_owned(), format!("at {step}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::register::samples;
    use super::*;
    use bootstash_base::error::ErrorClass;
    use bootstash_net::api::{JobId, Progress};

    #[test]
    fn says_why_a_cache_is_trusted_little() {
        let mut job = samples::registered();
        let Some(JobOutcome::Registered { doubt, .. }) = &mut job.outcome else { panic!("failed") };
        *doubt = Some("only one boot was made".to_owned());
        let text = jobs_text(std::slice::from_ref(&job), job.submitted);
        assert!(text.contains("bs-000042, delta 33M, low trust\n"), "{text}");
        assert!(text.ends_with("\n\nlow trust:\n  job 7, debian12: only one boot was made"), "{text}");
    }

    #[test]
    fn long_names_and_reasons_fit_100_columns() {
        let name = "a".repeat(100);
        let waiting = Some("for another capture to end; 2 run at once".to_owned());
        let jobs = [
            JobView {
                id: JobId(123_456),
                name: name.parse().unwrap(),
                outcome: Some(JobOutcome::Failed {
                    step: Step::Capture,
                    error: format!(
                        "/srv/{name}.raw did not boot (boot 1): 失败 {}",
                        "its console | ".repeat(30)
                    ),
                    kind: ErrorClass::Permanent,
                }),
                step_seconds: vec![(Step::Inspect, 123_456.7)],
                ..samples::inspecting()
            },
            JobView { progress: Progress { waiting, ..Progress::default() }, ..samples::capturing() },
        ];
        let text = jobs_text(&jobs, jobs[0].submitted + chrono::TimeDelta::minutes(119));
        for line in text.lines() {
            assert!(unicode_width::UnicodeWidthStr::width(line) <= WIDTH_COLUMNS, "{line}");
        }
        assert!(text.contains("aaaaaaaaaaaaaaaaaaaaaaa…  failed"), "{text}");
        assert!(text.contains("  waiting  ") && text.contains("capture waits for another"), "{text}");
    }

    #[test]
    fn a_cancelled_registration_says_where() {
        let outcome = Some(JobOutcome::Cancelled { step: Step::Capture });
        let job = JobView { outcome, ..samples::capturing() };
        assert!(
            jobs_text(std::slice::from_ref(&job), job.submitted)
                .ends_with("cancelled  0 s ago    0.3 s  at capture")
        );
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
