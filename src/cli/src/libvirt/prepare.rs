//! Before a VM starts: its disks get the boot caches of their images.
//!
//! Promises: the boot cache is held before a header names it. Killed before that, the VM starts from the image; after it,
//! from the boot cache.

use super::disk_file::{DiskFile, Lowest};
use super::domain::{Disk, Domain};
use super::hook::{Hook, said};
use super::plan::{Left, Start, at_start, is_to_be_chained};
use crate::failure::CommandError;
use bootstash_base::names::ImageName;
use bootstash_disk::ImageFormat;
use bootstash_net::api::{OverlayQuery, OverlayReply, OverlayRequest, OverlayView, PinReply, routes};
use bootstash_qemu::{Backing, Qemu};
use std::path::{Path, PathBuf};

impl Hook<'_> {
    /// Prepares each disk, and says what became of it.
    pub(super) async fn prepare(&self, domain: &Domain) -> Vec<String> {
        let (mut lines, mut image) = (Vec::new(), domain.image.as_ref());
        for disk in &domain.disks {
            let outcome = self.in_time(self.prepare_disk(disk, &mut image)).await;
            lines.extend(said(domain, disk, &outcome));
        }
        lines
    }

    /// What was done; nothing where there was nothing to do. `image` is what the first missing disk is made of.
    async fn prepare_disk(
        &self,
        disk: &Disk,
        image: &mut Option<&ImageName>,
    ) -> Result<Option<String>, Left> {
        if let Some(unfit) = &disk.unfit {
            return Err(Left::Unfit(unfit.clone()));
        }
        let Some(path) = disk.file.clone() else { return Ok(None) };
        let (looked_at, described) = (path.clone(), disk.described.clone());
        let file = self.look(move || DiskFile::look(&looked_at, &described)).await?;
        match at_start(file, *image) {
            Start::Nothing => Ok(None),
            Start::Make(of) => {
                *image = None;
                self.make(path, &of).await.map(Some)
            }
            Start::Leave(unfit) => Err(Left::Unfit(unfit)),
            Start::Pin(lowest) => self.pin(&path, &lowest).await.map(Some),
        }
    }

    async fn make(&self, path: PathBuf, image: &ImageName) -> Result<String, Left> {
        let request = OverlayRequest::new(image.as_str(), path);
        let asked = self.agent()?.post(routes::OVERLAYS, &request).await;
        let made: OverlayReply = asked.map_err(CommandError::from)?;
        Ok(format!("was made, of image {}", made.overlay.image))
    }

    async fn pin(&self, disk: &Path, lowest: &Lowest) -> Result<String, Left> {
        let query = OverlayQuery { path: disk.to_owned() };
        let asked = self.agent()?.post(routes::PINS, &query).await;
        let reply: PinReply = asked.map_err(CommandError::from)?;
        if is_to_be_chained(lowest, &reply)? {
            chain(&reply.overlay).await?;
        }
        Ok(format!("starts from the boot cache of {}", reply.overlay.image))
    }
}

async fn chain(overlay: &OverlayView) -> Result<(), Left> {
    let backing = Backing { path: overlay.cache.clone(), format: ImageFormat::Qcow2 };
    Ok(Qemu::find()?.rebase(&overlay.path, &backing).await?)
}
