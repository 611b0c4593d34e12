//! What leads a daemon to each point: every point has a scene, or this does not compile.

use super::site::{Site, Victim};
use super::tools::{Moment, Struck};
use crate::guest::TinyGuest;
use anyhow::{Context, Result, ensure};
use bootstash_base::kill_point::KillPoint;
use bootstash_disk::ImageFormat;
use bootstash_net::api::{JobOutcome, RegisterRequest, routes};
use std::fmt;

/// What is done for a daemon to come to a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scene {
    /// An image is registered.
    Register,
    /// An image is registered, and its snapshot fails.
    RegisterInVain,
    /// An image is registered, and booted for that.
    Boot,
    /// An image is deregistered.
    Deregister,
    /// The registrar collects.
    Collect,
    /// A node asks for the whole volume as a file.
    Whole,
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

impl fmt::Display for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Register | Self::RegisterInVain => "register",
            Self::Boot => "boot",
            Self::Deregister => "deregister",
            Self::Collect => "collect",
            Self::Whole => "whole",
            Self::StartRegistrar | Self::StartAgent => "start",
            Self::Apply => "apply",
            Self::Resync | Self::ResyncUnknown => "resync",
            Self::Overlay => "overlay",
            Self::RemoveOverlay => "remove-overlay",
            Self::NodeCollect => "node-collect",
        })
    }
}

/// The scene of each point.
pub(super) fn of(point: KillPoint) -> Scene {
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
        | At::Announced => Scene::Register,
        At::FailureDiscarded => Scene::RegisterInVain,
        At::CaptureBooting => Scene::Boot,
        At::DiscardHidden | At::Deregistered | At::DeregisteredSnapshot => Scene::Deregister,
        At::CollectNoted
        | At::CollectBookmarked
        | At::CollectDestroyed
        | At::CollectAnnounced
        | At::CollectDeltaRemoved => Scene::Collect,
        At::FullMade => Scene::Whole,
        At::StartMounted | At::StartSwept | At::StartPublished => Scene::StartRegistrar,
        At::FetchAppending
        | At::FetchWhole
        | At::FetchVerified
        | At::ApplyBegun
        | At::ApplyReceived
        | At::Applied
        | At::CatalogRead => Scene::Apply,
        At::ResyncNoted => Scene::ResyncUnknown,
        At::ReceiveAnnounced | At::ReceiveFed | At::ResyncReceived | At::ReplacedDropped => Scene::Resync,
        At::ViewMade | At::LeaseWritten | At::OverlayIntended | At::OverlayCreated | At::OverlayMade => {
            Scene::Overlay
        }
        At::OverlayRemoved | At::LeaseRemoved | At::ViewUnmounted | At::ViewDestroyed | At::ViewDropped => {
            Scene::RemoveOverlay
        }
        At::NodeCollectViews | At::NodeCollectDestroyed => Scene::NodeCollect,
        At::OpenMade | At::OpenRestored => Scene::StartAgent,
    }
}

/// The name of the overlays that scenes make.
const VM: &str = "vm";

impl Scene {
    /// Who plays it.
    pub(super) fn victim(self) -> Victim {
        match self {
            Self::Register
            | Self::RegisterInVain
            | Self::Boot
            | Self::Deregister
            | Self::Collect
            | Self::Whole
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
    pub(super) async fn prepare(self, site: &mut Site) -> Result<()> {
        match self {
            Self::Deregister | Self::Collect | Self::NodeCollect => {
                site.register_new().await?;
                site.in_step().await
            }
            Self::RemoveOverlay => {
                let newest = site.images.last().context("an image")?.name.clone();
                site.overlay(&newest, VM).await.map(drop)
            }
            Self::Resync | Self::ResyncUnknown => {
                if site.node_volume().await?.leaf() == "volume" {
                    strand(site, false).await?;
                    site.start_daemon(Victim::Agent).await?;
                    site.in_step().await?;
                }
                strand(site, self == Self::ResyncUnknown).await
            }
            Self::StartRegistrar => site.registrar.stop(),
            Self::StartAgent => site.agent.stop(),
            Self::Register
            | Self::RegisterInVain
            | Self::Boot
            | Self::Whole
            | Self::Apply
            | Self::Overlay => Ok(()),
        }
    }

    /// Plays it. What it comes to is of no concern: somebody dies of it.
    pub(super) async fn play(self, site: &mut Site) -> Result<()> {
        match self {
            Self::Register | Self::Apply => {
                let image = site.new_image()?;
                site.images.push(image.clone());
                site.register(&image).await.map(drop)
            }
            Self::RegisterInVain => {
                site.tools.plan("zfs", "snapshot", Moment::Before, Struck::Program)?;
                let image = site.new_image()?;
                site.register(&image).await.map(drop)
            }
            Self::Boot => site.follow(&boot(site)?).await.map(drop),
            Self::Deregister => {
                let image = site.images.pop().context("an image")?;
                site.deregister(&image.name, true).await.map(drop)
            }
            Self::Collect => site.collect(Victim::Registrar).await.map(drop),
            Self::Whole => site.ask_as_node::<serde_json::Value>(routes::FULL).await.map(drop),
            Self::StartRegistrar => site.registrar.spawn(),
            Self::StartAgent | Self::Resync | Self::ResyncUnknown => site.agent.spawn(),
            Self::Overlay => {
                let newest = site.images.last().context("an image")?.name.clone();
                site.overlay(&newest, VM).await.map(drop)
            }
            Self::RemoveOverlay => site.remove_overlay(&site.overlay_path(VM)).await.map(drop),
            Self::NodeCollect => site.collect(Victim::Agent).await.map(drop),
        }
    }

    /// What a person does after it: what did not come about is asked for again, what is kept for them
    /// is looked at and dropped.
    pub(super) async fn clear_up(self, site: &mut Site) -> Result<()> {
        match self {
            Self::Register | Self::Apply => again_unless_registered(site).await,
            Self::Overlay | Self::RemoveOverlay => {
                site.remove_overlay(&site.overlay_path(VM)).await.map(drop)
            }
            Self::Deregister => published_anew(site).await,
            Self::ResyncUnknown => drop_unknown(site).await,
            Self::Boot => deregister_booted(site).await,
            _ => Ok(()),
        }
    }
}

/// Stops the agent, and lets the registrar collect all that it has. `unknown`: the registrar forgets it, too.
async fn strand(site: &mut Site, unknown: bool) -> Result<()> {
    site.agent.stop()?;
    site.registrar.stop()?;
    std::fs::remove_file(site.dir.join("registrar/nodes.json"))?;
    site.start_daemon(Victim::Registrar).await?;
    site.register_new().await?;
    site.collect(Victim::Registrar).await?;
    if unknown {
        site.registrar.stop()?;
        std::fs::remove_file(site.dir.join("registrar/collected.json"))?;
        site.start_daemon(Victim::Registrar).await?;
    }
    Ok(())
}

/// The registration that was cut either came to its end, or has left no trace.
async fn again_unless_registered(site: &mut Site) -> Result<()> {
    let image = site.images.last().context("an image")?.clone();
    let registered = site.registered().await?.iter().any(|known| known.manifest.name.as_str() == image.name);
    let jobs = site.jobs().await?;
    let job = jobs.iter().rfind(|job| job.name.as_str() == image.name);
    let outcome = job.and_then(|job| job.outcome.as_ref());
    match outcome {
        Some(JobOutcome::Registered { .. }) => ensure!(registered, "a registration that ended is lost"),
        _ => {
            ensure!(!registered, "{} is registered, and nobody said so", image.name);
            let outcome = site.register(&image).await?;
            ensure!(matches!(outcome, JobOutcome::Registered { .. }), "{outcome:?}");
        }
    }
    Ok(())
}

/// Whoever asked and was not answered asks again.
async fn published_anew(site: &Site) -> Result<()> {
    let made = site.images.iter().map(|image| image.name.as_str());
    let known = site.registered().await?;
    for image in &known {
        let name = image.manifest.name.as_str();
        if !made.clone().any(|made| made == name) {
            site.deregister(name, true).await?;
        }
    }
    site.in_step().await
}

/// The node keeps what the registrar does not know, until a person drops it.
async fn drop_unknown(site: &mut Site) -> Result<()> {
    let kept: Vec<_> = site.node_status().await?.replaced;
    let unknown = kept.iter().find(|kept| kept.unknown.is_some());
    let unknown = unknown.with_context(|| format!("nothing is kept as unknown: {kept:?}"))?;
    site.zfs_command(&["destroy", "-r", unknown.dataset.as_str()])?;
    site.agent.stop()?;
    site.start_daemon(Victim::Agent).await
}

/// A guest that boots in seconds.
pub(super) fn boot(site: &Site) -> Result<RegisterRequest> {
    let source = site.dir.join("tiny.raw");
    TinyGuest::booting(7).write(&source)?;
    let format = Some(ImageFormat::Raw);
    Ok(RegisterRequest { name: "tiny".to_owned(), source, format, cache: None })
}

/// A guest that reads its disk and then waits for ever.
pub(super) fn mute(site: &Site) -> Result<RegisterRequest> {
    let source = site.dir.join("mute.raw");
    TinyGuest::printing("wait").write(&source)?;
    let format = Some(ImageFormat::Raw);
    Ok(RegisterRequest { name: "mute".to_owned(), source, format, cache: None })
}

async fn deregister_booted(site: &Site) -> Result<()> {
    let outcome = site.jobs().await?.into_iter().rfind(|job| job.name.as_str() == "tiny");
    let outcome = outcome.and_then(|job| job.outcome);
    ensure!(matches!(outcome, Some(JobOutcome::Registered { .. })), "{outcome:?}");
    site.deregister("tiny", false).await.map(drop)
}
