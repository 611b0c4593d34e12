//! Volumes that were replaced: they go with the last view on them, those the registrar does not know by hand.

use super::{Generation, Generations};
use bootstash_base::error::Chain;
use bootstash_base::kill_point::{KillPoint, kill_point};
use bootstash_net::api::ReplacedVolume;
use bootstash_zfs::DestroyError;

impl Generations {
    /// Those that are still there, each with the note that the registrar does not know it, if it has one.
    pub(in crate::volume) fn replaced_volumes(&self) -> Vec<ReplacedVolume> {
        let view = |generation: &Generation| ReplacedVolume {
            dataset: generation.dataset.clone(),
            snapshot: generation.snapshots.last().map(|newest| newest.name.clone()),
            unknown: std::fs::read_to_string(self.layout.unknown_note(generation.number)).ok(),
        };
        self.replaced().map(view).collect()
    }

    /// Drops the volumes that were replaced and that no view stands on. One that the registrar knows
    /// nothing of may be all that is left of something: that is for a person to drop.
    pub(in crate::volume) async fn drop_replaced(&mut self) {
        let replaced: Vec<_> = self.replaced().cloned().collect();
        for generation in replaced.iter().filter(|it| !self.layout.unknown_note(it.number).exists()) {
            match self.zfs.destroy(&generation.dataset).await {
                Ok(_) => {
                    tracing::info!("dropped {}, which was replaced", generation.dataset);
                    kill_point(KillPoint::ReplacedDropped);
                }
                Err(DestroyError::HasDependents { .. } | DestroyError::Busy { .. }) => {
                    tracing::debug!("{} stays while views stand on it", generation.dataset);
                }
                Err(error) => tracing::warn!("{} stays for now: {}", generation.dataset, Chain(&error)),
            }
        }
        if !replaced.is_empty()
            && let Err(error) = self.refresh().await
        {
            tracing::warn!("cannot see what is left: {}", Chain(&error));
        }
    }

    /// Notes that the registrar knows nothing of the volume that is there, before it is replaced.
    pub(in crate::volume) fn keep_unknown(&self, why: &str) -> std::io::Result<()> {
        let Some(current) = self.current() else { return Ok(()) };
        std::fs::write(self.layout.unknown_note(current.number), why)
    }

    /// Drops the notes on volumes that are gone, whose numbers may come again.
    pub(in crate::volume) fn forget_notes(&self) {
        let there: Vec<_> = self.all.iter().map(|it| self.layout.unknown_note(it.number)).collect();
        let notes = std::fs::read_dir(&self.layout.unknown_dir).into_iter().flatten().flatten();
        for note in notes.map(|note| note.path()).filter(|note| !there.contains(note)) {
            if let Err(error) = std::fs::remove_file(&note) {
                tracing::debug!("cannot remove {}: {error}", note.display());
            }
        }
    }
}
