//! Following a job by long polls, through a restart of the registrar.

use super::watch::Watch;
use crate::failure::CommandError;
use bootstash_base::backoff::{Backoff, Retries};
use bootstash_base::error::{Classified, ErrorClass};
use bootstash_net::api::{CallError, Client, JobId, JobView, routes};
use std::time::Duration;
use tokio::time::Instant;

/// How long a registrar may be away.
#[derive(Debug)]
pub(super) struct RetryBudget {
    /// Altogether, in one absence.
    pub(super) limit: Duration,
    pub(super) backoff: Backoff,
}

/// Long enough for a restart that cleans up first.
pub(super) const RETRY_BUDGET: RetryBudget =
    RetryBudget { limit: Duration::from_secs(120), backoff: Backoff::constant(Duration::from_secs(1)) };

/// Where a job's state is asked for.
pub(super) trait JobSource {
    /// The state of job `id`; with `after`, waits (up to the server's limit) until it is another.
    async fn job(&self, id: JobId, after: Option<u64>) -> Result<JobView, CallError>;
}

impl JobSource for Client {
    async fn job(&self, id: JobId, after: Option<u64>) -> Result<JobView, CallError> {
        let path = routes::JOB.replace("{id}", &id.to_string());
        let query: Vec<(&str, u64)> = after.map(|seq| ("after", seq)).into_iter().collect();
        self.get(&path, &query).await
    }
}

/// Tells `watch` of each change of job `id`, and returns its last state.
pub(super) async fn follow(
    source: &impl JobSource,
    id: JobId,
    budget: &RetryBudget,
    watch: &mut dyn Watch,
) -> Result<JobView, CommandError> {
    let mut last = None;
    loop {
        let job = ask_again(source, id, last, budget, watch).await?;
        if last != Some(job.seq) {
            watch.news(&job)?;
        }
        if job.outcome.is_some() {
            return Ok(job);
        }
        last = Some(job.seq);
    }
}

async fn ask_again(
    source: &impl JobSource,
    id: JobId,
    after: Option<u64>,
    budget: &RetryBudget,
    watch: &mut dyn Watch,
) -> Result<JobView, CommandError> {
    let mut retries: Option<Retries> = None;
    loop {
        let error = match source.job(id, after).await {
            Ok(job) => return Ok(job),
            Err(error) if error.kind() == ErrorClass::Transient => error,
            Err(error) => return Err(error.into()),
        };
        let now = Instant::now();
        let retries = retries.get_or_insert_with(|| {
            let limit = budget.limit.as_secs();
            watch.notice(&format!("the registrar does not answer; trying again for {limit} s"));
            budget.backoff.retries(now + budget.limit)
        });
        match retries.after_failure(now) {
            Some(pause) => tokio::time::sleep(pause).await,
            None => return Err(CommandError::Lost { job: id, source: error }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;
    use std::cell::{Cell, RefCell};
    use std::collections::VecDeque;

    struct Script(RefCell<VecDeque<Result<JobView, CallError>>>, Cell<u32>);

    impl Script {
        fn new(answers: impl IntoIterator<Item = Result<JobView, CallError>>) -> Self {
            Self(RefCell::new(answers.into_iter().collect()), Cell::new(0))
        }
    }

    impl JobSource for Script {
        async fn job(&self, _: JobId, _: Option<u64>) -> Result<JobView, CallError> {
            self.1.set(self.1.get() + 1);
            self.0.borrow_mut().pop_front().unwrap_or_else(|| Err(away()))
        }
    }

    #[derive(Default)]
    struct Told {
        news: Vec<u64>,
        notices: Vec<String>,
    }

    impl Watch for Told {
        fn news(&mut self, job: &JobView) -> Result<(), CommandError> {
            self.news.push(job.seq);
            Ok(())
        }
        fn notice(&mut self, text: &str) {
            self.notices.push(text.to_owned());
        }
        fn close(&mut self) {}
    }

    fn refused(kind: ErrorClass) -> CallError {
        CallError::Refused { status: 503, error: "no".to_owned(), kind }
    }

    fn away() -> CallError {
        refused(ErrorClass::Transient)
    }

    fn budget(limit: u64) -> RetryBudget {
        RetryBudget { limit: Duration::from_secs(limit), backoff: Backoff::constant(Duration::ZERO) }
    }

    #[tokio::test]
    async fn goes_on_when_the_registrar_is_back_and_tells_each_change_once() {
        let script = Script::new([
            Ok(samples::inspecting()),
            Ok(samples::inspecting()),
            Err(away()),
            Err(away()),
            Ok(samples::capturing()),
            Ok(samples::registered()),
        ]);
        let mut told = Told::default();
        follow(&script, JobId(7), &budget(3600), &mut told).await.unwrap();
        assert_eq!(told.news, [1, 4, 9]);
        assert_eq!(told.notices, ["the registrar does not answer; trying again for 3600 s"]);
    }

    #[tokio::test]
    async fn gives_up_in_the_end_and_names_the_job() {
        let script = Script::new([Ok(samples::inspecting())]);
        let error = follow(&script, JobId(7), &budget(0), &mut Told::default()).await.unwrap_err();
        assert!(matches!(error, CommandError::Lost { job: JobId(7), .. }));
    }

    #[tokio::test]
    async fn does_not_insist_on_what_is_refused_for_good() {
        let script = Script::new([Err(refused(ErrorClass::Permanent))]);
        let error = follow(&script, JobId(7), &budget(3600), &mut Told::default()).await.unwrap_err();
        assert!(matches!(error, CommandError::Call(_)));
        assert_eq!(script.1.get(), 1);
    }
}
