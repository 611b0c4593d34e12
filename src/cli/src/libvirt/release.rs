//! After a VM has ended: its disks go back onto their images, so that at rest they need nothing of bootstash.
//!
//! Promises: the boot cache is let go after no header names it. Killed before that, it stays held, and the VM starts from it.
//! What `bootstash overlay create` made stays as it is.

use super::disk_file::DiskFile;
use super::domain::{Disk, Domain, Unfit};
use super::hook::{Hook, said};
use super::plan::{End, Left, at_end};
use crate::failure::CommandError;
use bootstash_base::quoted_path::shown;
use bootstash_net::api::{OverlayQuery, OverlayStatus, routes};
use bootstash_qemu::{Backing, Qemu};
use bootstash_zfs::Removed;
use std::path::Path;

impl Hook<'_> {
    /// Releases each disk, and says what became of it.
    pub(super) async fn release(&self, domain: &Domain) -> Vec<String> {
        let disks: Vec<&Disk> = domain.disks.iter().filter(|disk| may_be_pinned(disk)).collect();
        if disks.is_empty() {
            return Vec::new();
        }
        let records = match self.in_time(self.records()).await {
            Ok(records) => records,
            Err(left) => {
                let failed = Err(left);
                return disks.into_iter().filter_map(|disk| said(domain, disk, &failed)).collect();
            }
        };
        let mut lines = Vec::new();
        for disk in disks {
            let outcome = self.in_time(self.release_disk(disk, &records)).await;
            lines.extend(said(domain, disk, &outcome));
        }
        lines
    }

    async fn records(&self) -> Result<Vec<OverlayStatus>, Left> {
        let asked = self.agent()?.get(routes::OVERLAYS, &()).await;
        Ok(asked.map_err(CommandError::from)?)
    }

    /// What was done; nothing where there was nothing to do.
    async fn release_disk(&self, disk: &Disk, records: &[OverlayStatus]) -> Result<Option<String>, Left> {
        let Some(path) = disk.file.clone() else { return Ok(None) };
        let file = self.look(move || DiskFile::look(&path, &[])).await?;
        match at_end(&file, records)? {
            End::Nothing => Ok(None),
            End::Unpin(overlay) => self.unpin(&overlay).await.map(|()| None),
            End::PutBack { overlay, cache } => {
                let base = put_back(&overlay, &cache).await?;
                self.unpin(&overlay).await?;
                Ok(Some(format!("is chained onto {} again", shown(&base.path))))
            }
        }
    }

    async fn unpin(&self, overlay: &Path) -> Result<(), Left> {
        let query = OverlayQuery { path: overlay.to_owned() };
        let asked = self.agent()?.delete::<Removed>(routes::PINS, &query).await;
        Ok(asked.map(drop).map_err(CommandError::from)?)
    }
}

/// While a VM runs, libvirt writes down the chain that it found: that is no wish of anybody's.
fn may_be_pinned(disk: &Disk) -> bool {
    matches!(disk.unfit, None | Some(Unfit::BackingStore))
}

/// Chains the overlay onto what the boot cache is chained onto.
async fn put_back(overlay: &Path, cache: &Path) -> Result<Backing, Left> {
    let qemu = Qemu::find()?;
    let base = qemu.backing_of(cache).await?;
    qemu.rebase(overlay, &base).await?;
    Ok(base)
}
