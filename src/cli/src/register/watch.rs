//! Who is told of a job's changes: a machine, a file, or (in `live`) a person.

use super::steps::{Steps, under_way};
use crate::failure::CommandError;
use crate::output;
use bootstash_net::api::JobView;

/// Follows a job.
pub(super) trait Watch {
    /// Something changed.
    fn news(&mut self, job: &JobView) -> Result<(), CommandError>;
    /// Something to say beside the job.
    fn notice(&mut self, text: &str);
    /// No more will come.
    fn close(&mut self);
}

/// One JSON object a change.
#[derive(Debug)]
pub(super) struct Json;

impl Watch for Json {
    fn news(&mut self, job: &JobView) -> Result<(), CommandError> {
        output::json_line(job)
    }

    fn notice(&mut self, text: &str) {
        eprintln!("{text}");
    }

    fn close(&mut self) {}
}

/// One line a step, and one when a step waits.
#[derive(Debug, Default)]
pub(super) struct Plain {
    steps: Steps,
    waiting: Option<String>,
}

impl Watch for Plain {
    fn news(&mut self, job: &JobView) -> Result<(), CommandError> {
        self.steps.news(job).iter().try_for_each(|line| output::line(line))?;
        if self.waiting != job.progress.waiting {
            self.waiting.clone_from(&job.progress.waiting);
            self.waiting.iter().for_each(|_| eprintln!("{}", under_way(job)));
        }
        Ok(())
    }

    fn notice(&mut self, text: &str) {
        eprintln!("{text}");
    }

    fn close(&mut self) {}
}
