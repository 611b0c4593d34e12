//! A source for tests: has the file, and fails on order.

use super::super::fetch_error::FetchError;
use super::super::partial_file::PartialFile;
use super::{DeltaSource, Progress};
use async_trait::async_trait;
use bootstash_delta::DeltaRecord;
use std::collections::VecDeque;

/// What is wrong with the next fetch.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// It has nothing of the file.
    Unavailable,
    /// It gives this number of bytes more, and has no more.
    Ends(usize),
    /// It gives this number of bytes more, and breaks off.
    Breaks(usize),
    /// The last byte of what it gives is wrong.
    Damages,
}

/// Gives `bytes`, but for `faults`.
#[derive(Debug)]
pub(super) struct FlakySource {
    bytes: Vec<u8>,
    faults: VecDeque<Fault>,
    /// The lengths of the file each time it was asked.
    pub(super) asked_at: Vec<usize>,
    damaged: bool,
}

impl FlakySource {
    pub(super) fn new(bytes: &[u8], faults: impl IntoIterator<Item = Fault>) -> Self {
        let faults = faults.into_iter().collect();
        Self { bytes: bytes.to_owned(), faults, asked_at: Vec::new(), damaged: false }
    }
}

#[async_trait]
impl DeltaSource for FlakySource {
    async fn fetch(&mut self, file: &PartialFile<'_>) -> Result<Progress, FetchError> {
        let mut here = std::fs::read(file.path()).unwrap_or_default();
        self.asked_at.push(here.len());
        if here.len() > self.bytes.len() {
            here.clear();
        }
        let rest = &self.bytes[here.len()..];
        let fault = self.faults.pop_front();
        let given = match fault {
            Some(Fault::Unavailable) => 0,
            Some(Fault::Ends(length) | Fault::Breaks(length)) => length.min(rest.len()),
            Some(Fault::Damages) | None => rest.len(),
        };
        here.extend_from_slice(&rest[..given]);
        if matches!(fault, Some(Fault::Damages)) {
            self.damaged = true;
            *here.last_mut().unwrap() ^= 1;
        }
        std::fs::write(file.path(), &here).unwrap();
        match fault {
            Some(Fault::Breaks(_)) => Err(file.broken_off(here.len() as u64, None)),
            _ if here.len() == self.bytes.len() => Ok(Progress::Whole),
            _ => Ok(Progress::Partial),
        }
    }

    fn blame(&mut self, _record: &DeltaRecord) -> bool {
        std::mem::take(&mut self.damaged)
    }
}
