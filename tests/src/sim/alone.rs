//! Whether a command was the only one on its image while it ran: only then is it known what the same
//! command must do again.

use super::storage::StorageNode;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Commands by image: how many ever began, and how many run.
#[derive(Debug, Default)]
pub(super) struct Alone(Mutex<BTreeMap<String, (u64, u64)>>);

/// A command that runs.
pub(super) struct Turn {
    all: Arc<Alone>,
    name: String,
    /// Its number; none where another ran when it began.
    number: Option<u64>,
    storage: Arc<StorageNode>,
    past: u64,
}

impl Alone {
    /// A command begins.
    pub(super) fn begin(self: &Arc<Self>, name: &str, storage: &Arc<StorageNode>) -> Turn {
        let mut images = self.lock();
        let (began, run) = images.entry(name.to_owned()).or_default();
        *began += 1;
        *run += 1;
        let number = (*run == 1).then_some(*began);
        let (all, storage) = (Arc::clone(self), Arc::clone(storage));
        Turn { all, name: name.to_owned(), number, past: storage.past(), storage }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, (u64, u64)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// Whether no other command came in between, and nothing was lost or restored.
    pub(super) fn is_alone(&self) -> bool {
        let began = self.all.lock().get(&self.name).map(|(began, _)| *began);
        self.number.is_some() && began == self.number && self.storage.past() == self.past
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some((_, run)) = self.all.lock().get_mut(&self.name) {
            *run -= 1;
        }
    }
}
