//! A registration as it lies on disk.

use super::{JobId, JobState};
use bootstash_base::clock;
use bootstash_base::names::ImageName;
use bootstash_delta::catalog::Confidence;
use bootstash_disk::ImageFormat;
use bootstash_net::api::{CaptureChoices, JobView, Progress, RegisterRequest, Step};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One registration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobRecord {
    /// Its number.
    pub id: JobId,
    /// The image, by its registered name.
    pub name: ImageName,
    /// Its base.
    pub source: PathBuf,
    /// The format asked for.
    pub format: Option<ImageFormat>,
    /// The boot cache to adopt instead of booting; absent from records older than adopting.
    #[serde(default)]
    pub cache: Option<PathBuf>,
    /// How far the cache has to be trusted; absent from older records.
    #[serde(default)]
    pub require: Option<Confidence>,
    /// How to boot it; absent from records older than that.
    #[serde(default)]
    pub capture: CaptureChoices,
    /// Whether it makes the boots that follow after its image was published; older records never do.
    #[serde(default)]
    pub follows_up: bool,
    /// When it was asked for.
    pub submitted: DateTime<Utc>,
    /// Seconds spent in each finished step.
    pub step_seconds: Vec<(Step, f64)>,
    /// What it has reached.
    pub state: JobState,
}

impl JobRecord {
    /// A registration that was just asked for.
    pub fn new(id: JobId, name: ImageName, request: &RegisterRequest) -> Self {
        Self {
            id,
            name,
            source: request.source.clone(),
            format: request.format,
            cache: request.cache.clone(),
            require: request.require,
            capture: request.capture.clone(),
            follows_up: false,
            submitted: clock::now(),
            step_seconds: Vec::new(),
            state: JobState::Submitted,
        }
    }

    /// The registration that makes the boots which this one left to follow; none where there are none.
    pub fn follow_up(&self, id: JobId) -> Option<Self> {
        let left = self.state.boots_to_follow() > 0 && !self.follows_up;
        left.then(|| Self {
            id,
            cache: None,
            follows_up: true,
            submitted: clock::now(),
            step_seconds: Vec::new(),
            state: JobState::Submitted,
            ..self.clone()
        })
    }

    /// As seen from outside.
    pub fn view(&self, seq: u64, progress: Progress) -> JobView {
        let outcome = self.state.outcome();
        let step = self.state.next_step().or_else(|| self.step_seconds.last().map(|(step, _)| *step));
        JobView {
            id: self.id,
            name: self.name.clone(),
            source: self.source.clone(),
            seq,
            step: step.unwrap_or(Step::Inspect),
            progress,
            submitted: self.submitted,
            step_seconds: self.step_seconds.clone(),
            outcome,
            follows_up: self.follows_up,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::register::testing::{manifest, snapshot_name};
    use bootstash_delta::catalog::Manifest;
    use bootstash_qemu::HardwareProfiles;

    #[test]
    fn choices_are_kept_and_a_record_older_than_them_is_read() {
        let profiles: HardwareProfiles = "openstack,libvirt".parse().unwrap();
        let request = RegisterRequest {
            capture: CaptureChoices { profiles: Some(profiles), ..CaptureChoices::default() },
            ..RegisterRequest::new("debian12", "/srv/debian12.raw")
        };
        let record = JobRecord::new(JobId(1), "debian12".parse().unwrap(), &request);
        let mut json = serde_json::to_value(&record).unwrap();
        assert_eq!(json["capture"]["profiles"], serde_json::json!(["openstack", "libvirt"]));
        assert_eq!(serde_json::from_value::<JobRecord>(json.clone()).unwrap(), record);
        json.as_object_mut().unwrap().retain(|key, _| key != "capture" && key != "follows_up");
        let old = serde_json::from_value::<JobRecord>(json).unwrap();
        assert_eq!((old.capture, old.follows_up), (CaptureChoices::default(), false));
    }

    #[test]
    fn only_what_is_left_is_followed_up_and_only_once() {
        let request = RegisterRequest::new("debian12", "/srv/debian12.raw");
        let at = |boots_to_follow| {
            let manifest = Box::new(Manifest { boots_to_follow, ..manifest("debian12") });
            let state = JobState::Snapshotted { manifest, snapshot: snapshot_name(1) };
            JobRecord { state, ..JobRecord::new(JobId(1), "debian12".parse().unwrap(), &request) }
        };
        assert_eq!(at(0).follow_up(JobId(2)), None);
        let next = at(2).follow_up(JobId(2)).unwrap();
        assert_eq!((next.id, next.follows_up, &next.state), (JobId(2), true, &JobState::Submitted));
        let again = JobRecord { follows_up: true, ..at(2) };
        assert_eq!(again.follow_up(JobId(3)), None);
    }
}
