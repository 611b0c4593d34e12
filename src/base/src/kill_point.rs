//! Named steps at which a test can have a daemon die, as `kill -9` between two instructions would.
//!
//! Promises: builds without debug assertions, as all that are released, hold none of it (`make lint`
//! looks); a daemon dies only where a file says so that the environment names; whoever waits for its
//! death sees from that file's end that it died there.
//!
//! The crate `fail` knows points, too. Its strongest actions are a panic and `exit`: destructors and
//! other threads run on then, and what a daemon cleans up as it unwinds is just what a kill leaves. Its
//! points are strings, so that none could tell which of them no test knows.

/// Names a file that holds the name of one point.
pub const KILL_AT_VARIABLE: &str = "BOOTSTASH_KILL_AT";
/// Ending that the file gets as the process dies.
pub const REACHED: &str = "reached";

macro_rules! points {
    ($($point:ident = $name:literal),* $(,)?) => {
        /// The steps, each named for what was done last.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum KillPoint {
            $(#[doc = concat!("`", $name, "`")] $point),*
        }

        impl KillPoint {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$point),*];

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$point => $name),*
                }
            }
        }
    };
}

points! {
    // The registrar, as it registers.
    Submitted = "register.submitted",
    Inspected = "register.inspected",
    Captured = "register.captured",
    Verified = "register.verified",
    Imported = "register.imported",
    Snapshotted = "register.snapshotted",
    Published = "register.published",
    StateWritten = "state.written",
    CaptureBooting = "capture.booting",
    CaptureKept = "capture.kept",
    ImportBegun = "import.begun",
    ImportCopied = "import.copied",
    ImportRenamed = "import.renamed",
    SnapshotTaken = "snapshot.taken",
    DeltaWriting = "delta.writing",
    DeltaWritten = "delta.written",
    DeltaRenamed = "delta.renamed",
    Announced = "publish.announced",
    FailureDiscarded = "failure.discarded",
    // … as it deregisters, collects, gives out the whole volume, and starts.
    DiscardHidden = "discard.hidden",
    Deregistered = "deregister.discarded",
    DeregisteredSnapshot = "deregister.snapshotted",
    CollectNoted = "collect.noted",
    CollectBookmarked = "collect.bookmarked",
    CollectDestroyed = "collect.snapshot-destroyed",
    CollectAnnounced = "collect.announced",
    CollectDeltaRemoved = "collect.delta-removed",
    FullMade = "full.made",
    CombinedMade = "combine.made",
    StartMounted = "start.mounted",
    StartSwept = "start.swept",
    StartPublished = "start.published",
    // The agent, as it applies a delta.
    FetchAppending = "fetch.appending",
    FetchWhole = "fetch.whole",
    FetchVerified = "fetch.verified",
    ApplyBegun = "apply.begun",
    ApplyReceived = "apply.received",
    Applied = "apply.recorded",
    CatalogRead = "catalog.read",
    // … as it begins anew beside its volume.
    ResyncNoted = "resync.noted",
    ReceiveAnnounced = "receive.announced",
    ReceiveFed = "receive.fed",
    ResyncReceived = "resync.received",
    ReplacedDropped = "resync.replaced-dropped",
    // … as it makes and removes overlays and their views.
    ViewMade = "view.made",
    LeaseWritten = "lease.written",
    OverlayIntended = "overlay.intended",
    OverlayCreated = "overlay.created",
    OverlayMade = "overlay.made",
    OverlayRemoved = "overlay.removed",
    LeaseRemoved = "lease.removed",
    ViewUnmounted = "view.unmounted",
    ViewDestroyed = "view.destroyed",
    ViewDropped = "view.dropped",
    // … as it collects, and starts.
    NodeCollectViews = "node-collect.views-dropped",
    NodeCollectDestroyed = "node-collect.snapshot-destroyed",
    OpenMade = "open.made",
    OpenRestored = "open.restored",
}

/// Dies here if a test wants it so.
#[cfg(debug_assertions)]
pub fn kill_point(point: KillPoint) {
    let Some(file) = std::env::var_os(KILL_AT_VARIABLE).map(std::path::PathBuf::from) else { return };
    if std::fs::read_to_string(&file).is_ok_and(|wanted| wanted == point.name()) {
        // Away with it, so that the next process lives.
        drop(std::fs::rename(&file, file.with_extension(REACHED)));
        nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL).ok();
    }
}

/// Does nothing in a release build.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn kill_point(_: KillPoint) {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_points_have_one_name() {
        let names: BTreeSet<_> = KillPoint::ALL.iter().map(|point| point.name()).collect();
        assert_eq!(names.len(), KillPoint::ALL.len());
    }
}
