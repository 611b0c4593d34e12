//! A job as lines of text: one for each finished step, two for the step under way, a summary. Pure.

use crate::render::{guest_text, seconds, size_in_words};
use bootstash_net::api::{JobOutcome, JobView, Progress, Step};

/// Turns what is heard of a job into one line for each finished step, each once. Remembers how far
/// the capture came, as a finished step's progress is no longer told.
#[derive(Debug, Default)]
pub(super) struct Steps {
    told: usize,
    boots: Option<u32>,
    clusters: Option<u64>,
}

impl Steps {
    /// The steps that are finished and not yet told.
    pub(super) fn news(&mut self, job: &JobView) -> Vec<String> {
        if job.step == Step::Capture {
            self.boots = job.progress.last_boot.or(job.progress.boot).or(self.boots);
            self.clusters = job.progress.clusters.or(self.clusters);
        }
        let lines = job.step_seconds.iter().skip(self.told).map(|(step, took)| self.line(*step, *took));
        let lines: Vec<String> = lines.collect();
        self.told = self.told.max(job.step_seconds.len());
        lines
    }

    fn line(&self, step: Step, took: f64) -> String {
        let mut line = format!("{step:<9}{:>9}", seconds(took));
        if step == Step::Capture {
            if let Some(count) = self.boots {
                line.push_str(&format!(", {}", boots(count as usize)));
            }
            if let Some(count) = self.clusters {
                line.push_str(&format!(", {count} clusters"));
            }
        }
        line
    }
}

/// The step under way: `capture, boot 2, 1763 clusters, 110 MiB of 2 GiB`.
pub(crate) fn under_way(job: &JobView) -> String {
    let Progress { boot, last_boot, clusters, bytes, total_bytes, waiting, .. } = &job.progress;
    let mut parts = vec![job.step.to_string()];
    parts.extend(waiting.as_ref().map(|what| format!("waits {what}")));
    parts.extend(boot.map(|number| match last_boot.filter(|last| *last > number) {
        Some(last) => format!("boots {number} to {last}"),
        None => format!("boot {number}"),
    }));
    parts.extend(clusters.map(|count| format!("{count} clusters")));
    parts.extend(match (bytes, total_bytes) {
        (Some(done), Some(total)) => Some(format!("{} of {}", size_in_words(*done), size_in_words(*total))),
        (Some(done), None) => Some(size_in_words(*done)),
        (None, _) => None,
    });
    parts.join(", ")
}

/// The newest line of the guest's console; empty where there is none.
pub(super) fn console(job: &JobView) -> String {
    job.progress.console_line.as_deref().map(guest_text).unwrap_or_default()
}

/// What was made of an image.
pub(super) fn summary(job: &JobView) -> String {
    let took: f64 = job.step_seconds.iter().map(|(_, seconds)| seconds).sum();
    let did = if job.follows_up { "made the other boots of" } else { "registered" };
    let head = format!("{did} {} in {}", job.name, seconds(took));
    match &job.outcome {
        Some(JobOutcome::Registered { snapshot, delta_bytes, cache_bytes, boots: count, doubt }) => format!(
            "{head}\n  cache     {}, {}\n  snapshot  {snapshot}\n  delta     {}{}",
            size_in_words(*cache_bytes),
            boots(*count as usize),
            size_in_words(*delta_bytes),
            trust(doubt.as_deref()),
        ),
        _ => head,
    }
}

/// A line that says why a cache is trusted little; nothing where it is not.
pub(super) fn trust(doubt: Option<&str>) -> String {
    doubt.map(|doubt| format!("\n  trust     low: {}", guest_text(doubt))).unwrap_or_default()
}

/// `1 boot`, `2 boots`; what no boot is on record of was not captured but `adopted`.
pub(super) fn boots(count: usize) -> String {
    match count {
        0 => "adopted".to_owned(),
        1 => "1 boot".to_owned(),
        more => format!("{more} boots"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn each_step_is_told_once_with_what_the_capture_found() {
        let mut steps = Steps::default();
        assert!(steps.news(&samples::inspecting()).is_empty());
        assert_eq!(steps.news(&samples::capturing()), ["inspect      0.3 s"]);
        assert!(steps.news(&samples::capturing()).is_empty());
        assert_eq!(
            steps.news(&samples::registered()),
            [
                "capture    128.4 s, 2 boots, 1763 clusters",
                "verify       1.0 s",
                "import       0.8 s",
                "snapshot     0.1 s",
                "publish      0.3 s",
            ]
        );
    }

    #[test]
    fn boots_that_follow_are_no_registration_of_their_own() {
        let job = JobView { follows_up: true, ..samples::registered() };
        assert!(summary(&job).starts_with("made the other boots of debian12 in "), "{}", summary(&job));
    }

    #[test]
    fn the_step_under_way_fits_a_line() {
        assert_eq!(under_way(&samples::inspecting()), "inspect");
        assert_eq!(under_way(&samples::capturing()), "capture, boot 2, 1763 clusters, 110.2 MiB of 2 GiB");
        let mut side_by_side = samples::capturing();
        side_by_side.progress.last_boot = Some(4);
        assert!(under_way(&side_by_side).starts_with("capture, boots 2 to 4, 1763 clusters"));
        let mut waiting = samples::inspecting();
        waiting.step = Step::Capture;
        waiting.progress.waiting = Some("for a processor".to_owned());
        assert_eq!(under_way(&waiting), "capture, waits for a processor");
        assert_eq!(console(&samples::capturing()), "[ OK ] Started ssh");
        assert_eq!(console(&samples::inspecting()), "");
    }

    #[test]
    fn the_summary_names_cache_snapshot_and_delta() {
        assert_eq!(
            summary(&samples::registered()),
            "registered debian12 in 130.9 s\n\
             \x20 cache     118.3 MiB, 2 boots\n\
             \x20 snapshot  bs-000042-20261121T101530Z\n\
             \x20 delta     33 MiB"
        );
    }

    #[test]
    fn low_trust_is_said_with_its_reason() {
        let mut job = samples::registered();
        let Some(JobOutcome::Registered { doubt, .. }) = &mut job.outcome else { panic!("failed") };
        *doubt = Some("only one boot was made".to_owned());
        assert!(summary(&job).ends_with("\n  trust     low: only one boot was made"), "{}", summary(&job));
    }

    #[test]
    fn a_cache_without_boots_was_adopted() {
        let mut job = samples::registered();
        let Some(JobOutcome::Registered { boots: count, .. }) = &mut job.outcome else { panic!("failed") };
        *count = 0;
        assert!(summary(&job).contains("\n  cache     118.3 MiB, adopted\n"), "{}", summary(&job));
        let lines = Steps::default().news(&job);
        assert_eq!(lines[1], "capture    128.4 s");
        assert_eq!((boots(1), boots(2)), ("1 boot".to_owned(), "2 boots".to_owned()));
    }
}
