//! The fake's cut receives: what came of the stream, and how much of which snapshot that is.

use super::state::State;
use super::stream::Unreadable;
use crate::{ByteStream, Receive, ReceiveError, Received, Removed, ResumeToken, Role, SendError};
use bootstash_base::names::{DatasetName, Guid, SnapshotName};
use std::io::{self, Cursor};

/// Less than this of a stream does not say what it is of.
const LEAST_BYTES: usize = 24;
const TO_AT: usize = 16;

impl State {
    /// The whole stream, with what came of it before; `cut` is how it broke off.
    pub(super) fn receive_as(
        &mut self,
        into: &DatasetName,
        came: Vec<u8>,
        cut: Option<io::Error>,
        how: Receive,
    ) -> Result<Received, ReceiveError> {
        let partial = self.file_systems.get(into).and_then(|found| found.partial.clone());
        let bytes = match (how, partial) {
            (Receive::Resume, None) => return Err(ReceiveError::WrongBase { into: into.clone() }),
            (Receive::Resume, Some(before)) => [before, came].concat(),
            (_, Some(_)) => return Err(ReceiveError::PartialState { into: into.clone() }),
            (_, None) => came,
        };
        if let Some(source) = cut {
            if how != Receive::NonResumable && bytes.len() >= LEAST_BYTES {
                self.insert(into, Some(Role::Volume)).partial = Some(bytes);
            }
            return Err(ReceiveError::Source { into: into.clone(), source });
        }
        self.take_partial(into);
        self.receive(into, &bytes)
    }

    pub(super) fn partial(&self, of: &DatasetName) -> Option<ResumeToken> {
        let bytes = self.file_systems.get(of)?.partial.as_ref()?;
        format!("1-{:016x}-{:x}", to_guid(bytes).ok()?.get(), bytes.len()).parse().ok()
    }

    pub(super) fn drop_partial(&mut self, of: &DatasetName) -> Removed {
        if self.take_partial(of) { Removed::Removed } else { Removed::Unchanged }
    }

    pub(super) fn send_rest(
        &self,
        of: &DatasetName,
        token: &ResumeToken,
    ) -> Result<(SnapshotName, ByteStream), SendError> {
        let rest = || {
            let mut parts = token.as_str().split('-').skip(1);
            let guid = Guid::new(u64::from_str_radix(parts.next()?, 16).ok()?);
            let from = usize::from_str_radix(parts.next()?, 16).ok()?;
            let file_system = self.file_systems.get(of)?;
            let taken = file_system.taken.iter().find(|taken| taken.snapshot.guid == guid)?;
            let name = taken.snapshot.name.clone();
            Some((self.encoded(of, None, &name).ok()?.get(from..)?.to_vec(), name))
        };
        match rest() {
            Some((rest, name)) => Ok((name, Box::pin(Cursor::new(rest)))),
            None => Err(SendError::Stale { of: of.clone() }),
        }
    }

    /// Whether there was partial state; a file system that held nothing else is gone.
    fn take_partial(&mut self, of: &DatasetName) -> bool {
        let Some(found) = self.file_systems.get_mut(of) else { return false };
        let was = found.partial.take().is_some();
        if was && found.taken.is_empty() {
            self.file_systems.remove(of);
        }
        was
    }
}

fn to_guid(stream: &[u8]) -> Result<Guid, Unreadable> {
    let bytes = stream.get(TO_AT..TO_AT + 8).ok_or(Unreadable::Truncated)?;
    bytes.try_into().map(u64::from_le_bytes).map(Guid::new).map_err(|_| Unreadable::Truncated)
}
