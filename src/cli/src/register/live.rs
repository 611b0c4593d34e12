//! A job on a terminal: finished steps as lines, below them the step under way and the guest's
//! newest console line, both cut to the terminal's width.

use super::steps::{Steps, console, under_way};
use super::watch::Watch;
use crate::failure::CommandError;
use bootstash_net::api::{JobView, Step};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::time::Duration;

/// How often the spinner turns.
const TICK: Duration = Duration::from_millis(120);

/// Draws until it is closed or dropped.
pub(super) struct Live {
    steps: Steps,
    at: Option<Step>,
    screen: MultiProgress,
    step: ProgressBar,
    console: ProgressBar,
}

impl Live {
    /// Begins to draw, on standard error.
    pub(super) fn new() -> Self {
        let screen = MultiProgress::new();
        let step =
            screen.add(ProgressBar::no_length().with_style(style("{spinner} {elapsed:>4} {wide_msg}")));
        let console = screen.add(ProgressBar::no_length().with_style(style("  {wide_msg:.dim}")));
        step.enable_steady_tick(TICK);
        Self { steps: Steps::default(), at: None, screen, step, console }
    }
}

/// The templates above are well formed, which a test sees to.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

impl Watch for Live {
    fn news(&mut self, job: &JobView) -> Result<(), CommandError> {
        for line in self.steps.news(job) {
            self.screen.println(line).map_err(CommandError::Output)?;
        }
        if self.at.replace(job.step) != Some(job.step) {
            self.step.reset_elapsed();
        }
        self.step.set_message(under_way(job));
        self.console.set_message(console(job));
        Ok(())
    }

    fn notice(&mut self, text: &str) {
        // Standard error is the screen itself: where it is closed there is nobody to tell.
        drop(self.screen.println(text));
    }

    fn close(&mut self) {
        self.step.finish_and_clear();
        self.console.finish_and_clear();
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;
    use indicatif::{InMemoryTerm, ProgressDrawTarget};

    #[test]
    fn shows_steps_done_the_step_under_way_and_the_console() {
        let term = InMemoryTerm::new(10, 44);
        let mut live = Live::new();
        live.screen.set_draw_target(ProgressDrawTarget::term_like(Box::new(term.clone())));
        live.news(&samples::capturing()).unwrap();
        live.step.disable_steady_tick();
        live.step.tick();
        live.console.tick();
        let screen = term.contents();
        let lines: Vec<&str> = screen.lines().collect();
        assert_eq!(lines[0], "inspect      0.3 s");
        assert!(lines[1].contains("capture, boot 2, 1763 clusters"), "{screen}");
        assert_eq!(lines[2], "  [ OK ] Started ssh");
        assert_eq!(lines.len(), 3, "{screen}");
        live.close();
        assert_eq!(term.contents(), "inspect      0.3 s");
    }
}
