//! Registering, deregistering, listing.

use bootstash_base::error::ErrorClass;
use bootstash_base::names::{ImageName, SnapshotName};
use bootstash_delta::catalog::{Confidence, Manifest};
use bootstash_disk::ImageFormat;
use bootstash_disk::firmware::Firmware;
use bootstash_qemu::HardwareProfiles;
use bootstash_zfs::Removed;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Asks for an image to be registered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RegisterRequest {
    /// The name to give it.
    pub name: String,
    /// Absolute path of the image, as on every node.
    pub source: PathBuf,
    /// Its format; detected where it is not given.
    pub format: Option<ImageFormat>,
    /// Absolute path of a boot cache to adopt, on the registrar's host; where none is given the image
    /// is booted.
    #[serde(default)]
    pub cache: Option<PathBuf>,
    /// How far its cache has to be trusted to be registered; where none is given, any is.
    #[serde(default)]
    pub require: Option<Confidence>,
    /// How to boot it, where not as the registrar's configuration and the image itself say.
    #[serde(default)]
    pub capture: CaptureChoices,
}

impl RegisterRequest {
    /// Asks for it with nothing special.
    pub fn new(name: &str, source: impl Into<PathBuf>) -> Self {
        Self {
            name: name.to_owned(),
            source: source.into(),
            format: None,
            cache: None,
            require: None,
            capture: CaptureChoices::default(),
        }
    }
}

/// How an image is to be booted for its capture, where not as the registrar's configuration and the image itself say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CaptureChoices {
    /// The firmware that boots it; recognised where none is given.
    pub firmware: Option<Firmware>,
    /// Whether its guests get no seed of cloud-init.
    pub no_seed: bool,
    /// The hardware profiles to boot on, in turn; the registrar's where none are given.
    pub profiles: Option<HardwareProfiles>,
    /// Whether nodes get it only once all boots are made.
    pub complete: bool,
}

/// Number of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub u64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What asking to register did.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum RegisterReply {
    /// The same image is registered under this name.
    Unchanged {
        /// The image as it is registered.
        image: Box<ImageView>,
    },
    /// A job does it; the same job when asked twice.
    Started {
        /// Its number.
        job: JobId,
    },
}

/// The steps of registering, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Looking at the image.
    Inspect,
    /// Booting it and tracing its reads, or adopting the cache that was given.
    Capture,
    /// Checking the cache against the base.
    Verify,
    /// Copying the cache into the volume.
    Import,
    /// Taking a snapshot.
    Snapshot,
    /// Making the delta and announcing it.
    Publish,
}

impl Step {
    /// In order.
    pub const ALL: [Self; 6] =
        [Self::Inspect, Self::Capture, Self::Verify, Self::Import, Self::Snapshot, Self::Publish];

    /// As one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inspect => "inspect",
            Self::Capture => "capture",
            Self::Verify => "verify",
            Self::Import => "import",
            Self::Snapshot => "snapshot",
            Self::Publish => "publish",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How far a job is within its step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Which boot, from 1, while capturing.
    pub boot: Option<u32>,
    /// The last of the boots that run beside it.
    #[serde(default)]
    pub last_boot: Option<u32>,
    /// The newest line of the guest's console, printable characters only.
    pub console_line: Option<String>,
    /// Clusters in the cache so far.
    pub clusters: Option<u64>,
    /// Bytes done.
    pub bytes: Option<u64>,
    /// Bytes to do.
    pub total_bytes: Option<u64>,
    /// What it waits for before it can go on, as words that follow "waits".
    #[serde(default)]
    pub waiting: Option<String>,
    /// How long it has waited in this step before.
    #[serde(default)]
    pub waited_seconds: f64,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "result")]
pub enum JobOutcome {
    /// The image is registered.
    Registered {
        /// The snapshot that holds it.
        snapshot: SnapshotName,
        /// Size of the delta that carries it, in bytes.
        delta_bytes: u64,
        /// Size of its cache, in bytes.
        cache_bytes: u64,
        /// Boots on record for the cache; none where it was adopted without a record.
        boots: u32,
        /// Why the cache is trusted little, where it is.
        #[serde(default)]
        doubt: Option<String>,
    },
    /// It is not, and nothing of it is left.
    Failed {
        /// The step that failed.
        step: Step,
        /// Why, with causes.
        error: String,
        /// What may follow.
        kind: ErrorClass,
    },
    /// Somebody cancelled it, and nothing of it is left.
    Cancelled {
        /// The step it was at.
        step: Step,
    },
}

/// A job as seen from outside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobView {
    /// Its number.
    pub id: JobId,
    /// The image it registers.
    pub name: ImageName,
    /// The image's base.
    pub source: PathBuf,
    /// Counts up with each change; ask with `?after=` this to wait for the next.
    pub seq: u64,
    /// The step it is at.
    pub step: Step,
    /// How far it is within the step.
    pub progress: Progress,
    /// When it was asked for.
    pub submitted: DateTime<Utc>,
    /// Seconds spent in each finished step, in order, without those it waited for others.
    pub step_seconds: Vec<(Step, f64)>,
    /// How it ended, once it has.
    pub outcome: Option<JobOutcome>,
    /// Whether it makes the boots that follow after the image was published.
    #[serde(default)]
    pub follows_up: bool,
}

/// Which names of images are meant: `*`, `?` and `[a-z]` stand for what they do in a shell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImagePattern(glob::Pattern);

/// A text is no pattern.
#[derive(Debug, thiserror::Error)]
#[error("{text} is no pattern of names")]
pub struct ImagePatternError {
    text: String,
    source: glob::PatternError,
}

impl FromStr for ImagePattern {
    type Err = ImagePatternError;

    fn from_str(text: &str) -> Result<Self, ImagePatternError> {
        let pattern = glob::Pattern::new(text);
        pattern.map(Self).map_err(|source| ImagePatternError { text: text.to_owned(), source })
    }
}

impl TryFrom<String> for ImagePattern {
    type Error = ImagePatternError;

    fn try_from(text: String) -> Result<Self, ImagePatternError> {
        text.parse()
    }
}

impl From<ImagePattern> for String {
    fn from(pattern: ImagePattern) -> Self {
        pattern.0.as_str().to_owned()
    }
}

/// Which images to list. They come in order of name, so that a list can be had in parts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ImagesQuery {
    /// Only those whose names match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<ImagePattern>,
    /// Only those whose names come after this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<ImageName>,
    /// No more than so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

impl ImagesQuery {
    /// Whether an image of this name is asked for.
    pub fn wants(&self, name: &ImageName) -> bool {
        let after = self.after.as_ref().is_none_or(|after| name > after);
        after && self.pattern.as_ref().is_none_or(|pattern| pattern.0.matches(name.as_str()))
    }

    /// How many at most.
    pub fn most(&self) -> usize {
        self.limit.unwrap_or(usize::MAX)
    }
}

/// What asking to cancel a job did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CancelReply {
    /// Whether the job was cancelled by this; if not, it had ended before.
    pub cancelled: bool,
    /// The job as it is now.
    pub job: JobView,
}

/// A registered image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageView {
    /// Its manifest.
    pub manifest: Manifest,
    /// The first snapshot that holds it, where that is known.
    pub snapshot: Option<SnapshotName>,
}

/// How to deregister.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct DeregisterQuery {
    /// Tell the nodes at once, with a snapshot of its own.
    #[serde(default)]
    pub publish: bool,
}

/// What deregistering did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeregisterReply {
    /// Whether there was something to remove.
    pub outcome: Removed,
    /// The snapshot that tells the nodes, with `publish`.
    pub published: Option<SnapshotName>,
}
