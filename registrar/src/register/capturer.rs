//! What registering needs of QEMU, as a trait so that the steps can be tested without guests.

use super::StepFailure;
use crate::capture::{self, Boots, CaptureRequest, Captured, GuestSlots};
use async_trait::async_trait;
use bootstash_daemon::config::CaptureConfig;
use bootstash_disk::{ImageFormat, Source};
use bootstash_net::api::{CaptureChoices, Progress};
use bootstash_qemu::Qemu;
use std::path::Path;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Looks at images, boots them, adopts and checks caches.
#[async_trait]
pub trait Capturer: Send + Sync + std::fmt::Debug {
    /// Looks at the image at `path`.
    async fn inspect(&self, path: &Path, format: Option<ImageFormat>) -> Result<Source, StepFailure>;

    /// Makes these of the image's boots, as `choices` say, and leaves its cache in `work_dir`.
    async fn capture(
        &self,
        source: &Source,
        choices: &CaptureChoices,
        boots: Boots,
        work_dir: &Path,
        progress: &watch::Sender<Progress>,
        stop: &CancellationToken,
    ) -> Result<Captured, StepFailure>;

    /// Takes the boot cache at `cache`, which is not trusted, instead of booting, and leaves a cache
    /// with its content in `work_dir`.
    async fn adopt(&self, source: &Source, cache: &Path, work_dir: &Path) -> Result<Captured, StepFailure>;

    /// Checks the cache against its base.
    async fn verify(&self, cache: &Path, source: &Source) -> Result<(), StepFailure>;
}

/// The real one.
#[derive(Clone, Debug)]
pub struct QemuCapturer {
    /// The interface to QEMU.
    pub qemu: Qemu,
    /// How to boot where nothing else is asked for.
    pub config: CaptureConfig,
    /// How many guests run at once, of all images.
    pub slots: GuestSlots,
}

#[async_trait]
impl Capturer for QemuCapturer {
    async fn inspect(&self, path: &Path, format: Option<ImageFormat>) -> Result<Source, StepFailure> {
        Ok(self.qemu.inspect(path, format).await?)
    }

    async fn capture(
        &self,
        source: &Source,
        choices: &CaptureChoices,
        boots: Boots,
        work_dir: &Path,
        progress: &watch::Sender<Progress>,
        stop: &CancellationToken,
    ) -> Result<Captured, StepFailure> {
        let boots = match boots {
            Boots::FirstRound if !self.config.publish_early => Boots::All,
            boots => boots,
        };
        let request = CaptureRequest {
            image: source.clone(),
            work_dir: work_dir.to_owned(),
            config: self.config.clone(),
            choices: choices.clone(),
            slots: self.slots.clone(),
            boots,
        };
        Ok(capture::capture(&self.qemu, &request, progress, stop).await?)
    }

    async fn adopt(&self, source: &Source, cache: &Path, work_dir: &Path) -> Result<Captured, StepFailure> {
        Ok(capture::adopt(&self.qemu, source, cache, work_dir).await?)
    }

    async fn verify(&self, cache: &Path, source: &Source) -> Result<(), StepFailure> {
        Ok(capture::verify(&self.qemu, cache, source).await?)
    }
}
