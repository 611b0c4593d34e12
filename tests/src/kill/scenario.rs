//! What leads a daemon to each kill point: every point has a scenario, or this does not compile.

use super::testbed::{Testbed, Victim};
use super::tools::{KillTarget, Moment};
use crate::guest::TinyGuest;
use anyhow::{Context, Result, ensure};
use bootstash_base::kill_point::KillPoint;
use bootstash_delta::replication::ROW_MAX;
use bootstash_disk::ImageFormat;
use bootstash_net::api::{JobOutcome, RegisterRequest, routes};
use std::fmt;

/// What is done for a daemon to come to a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scenario {
    /// An image is registered.
    Register,
    /// An image is registered, and its snapshot fails.
    RegisterFails,
    /// An image is registered, and booted for that.
    Boot,
    /// An image is deregistered.
    Deregister,
    /// The registrar collects.
    Collect,
    /// A node asks for the whole volume as a file.
    FullStream,
    /// A node that is far behind comes back.
    FarBehind,
    /// The registrar starts.
    StartRegistrar,
    /// A node follows a registration.
    Apply,
    /// A node begins anew, as it was away for long.
    Resync,
    /// A node begins anew, as the registrar does not know it.
    ResyncUnknown,
    /// An overlay is made.
    Overlay,
    /// An overlay is removed, and its view with it.
    RemoveOverlay,
    /// The node collects.
    NodeCollect,
    /// The agent starts.
    StartAgent,
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Register | Self::RegisterFails => "register",
            Self::Boot => "boot",
            Self::Deregister => "deregister",
            Self::Collect => "collect",
            Self::FullStream => "whole",
            Self::FarBehind => "far-behind",
            Self::StartRegistrar | Self::StartAgent => "start",
            Self::Apply => "apply",
            Self::Resync | Self::ResyncUnknown => "resync",
            Self::Overlay => "overlay",
            Self::RemoveOverlay => "remove-overlay",
            Self::NodeCollect => "node-collect",
        })
    }
}

/// The scenario of each point.
pub(super) fn of(point: KillPoint) -> Scenario {
    use KillPoint as At;
    match point {
        At::Submitted
        | At::Inspected
        | At::Captured
        | At::Verified
        | At::Imported
        | At::Snapshotted
        | At::Published
        | At::StateWritten
        | At::CaptureKept
        | At::ImportBegun
        | At::ImportCopied
        | At::ImportRenamed
        | At::SnapshotTaken
        | At::DeltaWriting
        | At::DeltaWritten
        | At::DeltaRenamed
        | At::Announced => Scenario::Register,
        At::FailureDiscarded => Scenario::RegisterFails,
        At::CaptureBooting => Scenario::Boot,
        At::DiscardHidden | At::Deregistered | At::DeregisteredSnapshot => Scenario::Deregister,
        At::CollectNoted
        | At::CollectBookmarked
        | At::CollectDestroyed
        | At::CollectAnnounced
        | At::CollectDeltaRemoved => Scenario::Collect,
        At::FullMade => Scenario::FullStream,
        At::CombinedMade => Scenario::FarBehind,
        At::StartMounted | At::StartSwept | At::StartPublished => Scenario::StartRegistrar,
        At::FetchAppending
        | At::FetchWhole
        | At::FetchVerified
        | At::ApplyBegun
        | At::ApplyReceived
        | At::Applied
        | At::CatalogRead => Scenario::Apply,
        At::ResyncNoted => Scenario::ResyncUnknown,
        At::ReceiveAnnounced | At::ReceiveFed | At::ResyncReceived | At::ReplacedDropped => Scenario::Resync,
        At::ViewMade | At::LeaseWritten | At::OverlayIntended | At::OverlayCreated | At::OverlayMade => {
            Scenario::Overlay
        }
        At::OverlayRemoved | At::LeaseRemoved | At::ViewUnmounted | At::ViewDestroyed | At::ViewDropped => {
            Scenario::RemoveOverlay
        }
        At::NodeCollectViews | At::NodeCollectDestroyed => Scenario::NodeCollect,
        At::OpenMade | At::OpenRestored => Scenario::StartAgent,
    }
}

/// The name of the overlays that scenarios make.
const VM: &str = "vm";

impl Scenario {
    /// Which daemon dies of it.
    pub(super) fn victim(self) -> Victim {
        match self {
            Self::Register
            | Self::RegisterFails
            | Self::Boot
            | Self::Deregister
            | Self::Collect
            | Self::FullStream
            | Self::FarBehind
            | Self::StartRegistrar => Victim::Registrar,
            Self::Apply
            | Self::Resync
            | Self::ResyncUnknown
            | Self::Overlay
            | Self::RemoveOverlay
            | Self::NodeCollect
            | Self::StartAgent => Victim::Agent,
        }
    }

    /// What has to be there first.
    pub(super) async fn prepare(self, testbed: &mut Testbed) -> Result<()> {
        match self {
            Self::Deregister | Self::Collect | Self::NodeCollect => {
                testbed.register_new().await?;
                testbed.in_step().await
            }
            Self::RemoveOverlay => {
                let newest = testbed.images.last().context("an image")?.name.clone();
                testbed.overlay(&newest, VM).await.map(drop)
            }
            Self::Resync | Self::ResyncUnknown => {
                if testbed.node_volume().await?.leaf() == "volume" {
                    collect_while_down(testbed, false).await?;
                    testbed.start_daemon(Victim::Agent).await?;
                    testbed.in_step().await?;
                }
                collect_while_down(testbed, self == Self::ResyncUnknown).await
            }
            Self::FarBehind => {
                testbed.agent.stop()?;
                for _ in 0..=ROW_MAX {
                    testbed.register_new().await?;
                }
                Ok(())
            }
            Self::StartRegistrar => testbed.registrar.stop(),
            Self::StartAgent => testbed.agent.stop(),
            Self::Register
            | Self::RegisterFails
            | Self::Boot
            | Self::FullStream
            | Self::Apply
            | Self::Overlay => Ok(()),
        }
    }

    /// Does it. its result does not matter: a daemon dies of it.
    pub(super) async fn trigger(self, testbed: &mut Testbed) -> Result<()> {
        match self {
            Self::Register | Self::Apply => {
                let image = testbed.new_image()?;
                testbed.images.push(image.clone());
                testbed.register(&image).await.map(drop)
            }
            Self::RegisterFails => {
                testbed.tools.plan("zfs", "snapshot", Moment::Before, KillTarget::Program)?;
                let image = testbed.new_image()?;
                testbed.register(&image).await.map(drop)
            }
            Self::Boot => testbed.follow(&boot(testbed)?).await.map(drop),
            Self::Deregister => {
                let image = testbed.images.pop().context("an image")?;
                testbed.deregister(&image.name, true).await.map(drop)
            }
            Self::Collect => testbed.collect(Victim::Registrar).await.map(drop),
            Self::FullStream => testbed.ask_as_node::<serde_json::Value>(routes::FULL).await.map(drop),
            Self::StartRegistrar => testbed.registrar.spawn(),
            Self::StartAgent | Self::Resync | Self::ResyncUnknown | Self::FarBehind => testbed.agent.spawn(),
            Self::Overlay => {
                let newest = testbed.images.last().context("an image")?.name.clone();
                testbed.overlay(&newest, VM).await.map(drop)
            }
            Self::RemoveOverlay => testbed.remove_overlay(&testbed.overlay_path(VM)).await.map(drop),
            Self::NodeCollect => testbed.collect(Victim::Agent).await.map(drop),
        }
    }

    /// What a person does after it: what did not come about is asked for again, what is kept for them
    /// is looked at and dropped.
    pub(super) async fn clean_up(self, testbed: &mut Testbed) -> Result<()> {
        match self {
            Self::Register | Self::Apply => again_unless_registered(testbed).await,
            Self::Overlay | Self::RemoveOverlay => {
                testbed.remove_overlay(&testbed.overlay_path(VM)).await.map(drop)
            }
            Self::Deregister => published_anew(testbed).await,
            Self::ResyncUnknown => drop_unknown(testbed).await,
            Self::Boot => deregister_booted(testbed).await,
            _ => Ok(()),
        }
    }
}

/// Stops the agent, and lets the registrar collect all that it has. `unknown`: the registrar forgets it, too.
async fn collect_while_down(testbed: &mut Testbed, unknown: bool) -> Result<()> {
    testbed.agent.stop()?;
    testbed.registrar.stop()?;
    std::fs::remove_file(testbed.dir.join("registrar/nodes.json"))?;
    testbed.start_daemon(Victim::Registrar).await?;
    testbed.register_new().await?;
    testbed.collect(Victim::Registrar).await?;
    if unknown {
        testbed.registrar.stop()?;
        std::fs::remove_file(testbed.dir.join("registrar/collected.json"))?;
        testbed.start_daemon(Victim::Registrar).await?;
    }
    Ok(())
}

/// The registration that was cut either came to its end, or has left no trace.
async fn again_unless_registered(testbed: &mut Testbed) -> Result<()> {
    let image = testbed.images.last().context("an image")?.clone();
    let registered =
        testbed.registered().await?.iter().any(|known| known.manifest.name.as_str() == image.name);
    let jobs = testbed.jobs().await?;
    let job = jobs.iter().rfind(|job| job.name.as_str() == image.name);
    let outcome = job.and_then(|job| job.outcome.as_ref());
    match outcome {
        Some(JobOutcome::Registered { .. }) => ensure!(registered, "a registration that ended is lost"),
        _ => {
            ensure!(!registered, "{} is registered, and nobody said so", image.name);
            let outcome = testbed.register(&image).await?;
            ensure!(matches!(outcome, JobOutcome::Registered { .. }), "{outcome:?}");
        }
    }
    Ok(())
}

/// Whoever asked and was not answered asks again.
async fn published_anew(testbed: &Testbed) -> Result<()> {
    let made = testbed.images.iter().map(|image| image.name.as_str());
    let known = testbed.registered().await?;
    for image in &known {
        let name = image.manifest.name.as_str();
        if !made.clone().any(|made| made == name) {
            testbed.deregister(name, true).await?;
        }
    }
    testbed.in_step().await
}

/// The node keeps what the registrar does not know, until a person drops it.
async fn drop_unknown(testbed: &mut Testbed) -> Result<()> {
    let kept: Vec<_> = testbed.node_status().await?.replaced;
    let unknown = kept.iter().find(|kept| kept.unknown.is_some());
    let unknown = unknown.with_context(|| format!("nothing is kept as unknown: {kept:?}"))?;
    testbed.zfs_command(&["destroy", "-r", unknown.dataset.as_str()])?;
    testbed.agent.stop()?;
    testbed.start_daemon(Victim::Agent).await
}

/// A guest that boots in seconds.
pub(super) fn boot(testbed: &Testbed) -> Result<RegisterRequest> {
    let source = testbed.dir.join("tiny.raw");
    TinyGuest::booting(7).write(&source)?;
    let format = Some(ImageFormat::Raw);
    Ok(RegisterRequest { format, ..RegisterRequest::new("tiny", source) })
}

/// A guest that reads its disk and then waits for ever.
pub(super) fn silent_guest(testbed: &Testbed) -> Result<RegisterRequest> {
    let source = testbed.dir.join("mute.raw");
    TinyGuest::printing("wait").write(&source)?;
    let format = Some(ImageFormat::Raw);
    Ok(RegisterRequest { format, ..RegisterRequest::new("mute", source) })
}

async fn deregister_booted(testbed: &Testbed) -> Result<()> {
    let outcome = testbed.jobs().await?.into_iter().rfind(|job| job.name.as_str() == "tiny");
    let outcome = outcome.and_then(|job| job.outcome);
    ensure!(matches!(outcome, Some(JobOutcome::Registered { .. })), "{outcome:?}");
    testbed.deregister("tiny", false).await.map(drop)
}
