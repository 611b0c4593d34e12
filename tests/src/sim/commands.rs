//! Which commands run at the same time on one image: only of one that ran alone is it known what the same
//! command must do again.

use super::storage::StorageNode;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Commands by image: how many ever began, and how many run.
#[derive(Debug, Default)]
pub(super) struct RunningCommands(Mutex<BTreeMap<String, (u64, u64)>>);

/// A command that runs.
pub(super) struct RunningCommand {
    all: Arc<RunningCommands>,
    name: String,
    /// Its number; none where another ran when it began.
    number: Option<u64>,
    storage: Arc<StorageNode>,
    past: u64,
}

impl RunningCommands {
    /// A command begins.
    pub(super) fn begin(self: &Arc<Self>, name: &str, storage: &Arc<StorageNode>) -> RunningCommand {
        let mut images = self.lock();
        let (began, run) = images.entry(name.to_owned()).or_default();
        *began += 1;
        *run += 1;
        let number = (*run == 1).then_some(*began);
        let (all, storage) = (Arc::clone(self), Arc::clone(storage));
        RunningCommand { all, name: name.to_owned(), number, past: storage.past(), storage }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, (u64, u64)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RunningCommand {
    /// Whether no other command came in between, and nothing was lost or restored.
    pub(super) fn ran_alone(&self) -> bool {
        let began = self.all.lock().get(&self.name).map(|(began, _)| *began);
        self.number.is_some() && began == self.number && self.storage.past() == self.past
    }
}

impl Drop for RunningCommand {
    fn drop(&mut self) {
        if let Some((_, run)) = self.all.lock().get_mut(&self.name) {
            *run -= 1;
        }
    }
}
