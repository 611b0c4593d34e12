//! Who is told of a job's changes: a machine, a file, or (in `live`) a person.

use super::steps::Steps;
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

/// One line a step.
#[derive(Debug, Default)]
pub(super) struct Plain(Steps);

impl Watch for Plain {
    fn news(&mut self, job: &JobView) -> Result<(), CommandError> {
        self.0.news(job).iter().try_for_each(|line| output::line(line))
    }

    fn notice(&mut self, text: &str) {
        eprintln!("{text}");
    }

    fn close(&mut self) {}
}
