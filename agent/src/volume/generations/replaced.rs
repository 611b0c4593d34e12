//! Volumes that were replaced: they go with the last view on them, those the registrar does not know by hand.

use super::{Generation, Generations};
use bootstash_base::error::Chain;
use bootstash_base::kill_point::{KillPoint, kill_point};
use bootstash_net::api::ReplacedVolume;
use bootstash_zfs::DestroyError;
use std::io;
use std::path::{Path, PathBuf};

impl Generations {
    /// Those that are still there, each with the note that the registrar does not know it, if it has one.
    pub(in crate::volume) fn replaced_volumes(&self) -> Vec<ReplacedVolume> {
        let view = |generation: &Generation| ReplacedVolume {
            dataset: generation.dataset.clone(),
            snapshot: generation.snapshots.last().map(|newest| newest.name.clone()),
            unknown: self.unknown_notes.get(&generation.number).cloned(),
        };
        self.replaced().map(view).collect()
    }

    /// Drops the volumes that were replaced and that no view stands on; while a receive is under way, when it has ended. One
    /// that the registrar knows nothing of may be all that is left of something: that is for a person to drop.
    pub(in crate::volume) async fn drop_replaced(&mut self) {
        self.dropping_postponed = self.receiving;
        if self.receiving {
            return;
        }
        let replaced: Vec<_> = self.replaced().cloned().collect();
        let known: Vec<_> =
            replaced.iter().filter(|it| !self.unknown_notes.contains_key(&it.number)).collect();
        for generation in known {
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

    /// What was not done while a receive was under way.
    pub(in crate::volume) async fn drop_postponed(&mut self) {
        if self.dropping_postponed {
            self.drop_replaced().await;
        }
    }

    /// Notes that the registrar knows nothing of the volume that is there, before it is replaced.
    pub(in crate::volume) async fn keep_unknown(&mut self, why: &str) -> io::Result<()> {
        let Some(number) = self.current().map(|current| current.number) else { return Ok(()) };
        tokio::fs::write(self.layout.unknown_note(number), why).await?;
        self.unknown_notes.insert(number, why.to_owned());
        Ok(())
    }

    /// Notes can have been written or removed by a person since.
    pub(super) async fn read_unknown_notes(&mut self) {
        self.unknown_notes.clear();
        for generation in &self.all {
            let note = read_note(&self.layout.unknown_note(generation.number)).await;
            self.unknown_notes.extend(note.map(|note| (generation.number, note)));
        }
    }

    /// Drops the notes on volumes that are gone, whose numbers may come again.
    pub(in crate::volume) async fn forget_notes(&self) {
        let there: Vec<_> = self.all.iter().map(|it| self.layout.unknown_note(it.number)).collect();
        let dir = self.layout.unknown_dir.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || remove_others(&dir, &there)).await {
            tracing::warn!("notes on volumes that are gone stay for now: {error}");
        }
    }
}

/// One that cannot be read counts as well: its volume may be all that is left of something.
async fn read_note(path: &Path) -> Option<String> {
    match tokio::fs::read_to_string(path).await {
        Ok(note) => Some(note),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => Some(format!("cannot read why, in {}: {error}", path.display())),
    }
}

fn remove_others(dir: &Path, there: &[PathBuf]) {
    let notes = std::fs::read_dir(dir).into_iter().flatten().flatten();
    for note in notes.map(|note| note.path()).filter(|note| !there.contains(note)) {
        if let Err(error) = std::fs::remove_file(&note) {
            tracing::debug!("cannot remove {}: {error}", note.display());
        }
    }
}
