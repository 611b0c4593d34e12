//! Checks what the registrar answers to nodes, as it does.

use super::model::{Model, Reported};
use super::network::Observer;
use super::time;
use bootstash_delta::{DeltaRecord, VolumeLog};
use bootstash_delta::{HEADER_BYTES, Header};
use bootstash_net::api::{NodeReport, routes};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Checks the answers of one registrar.
#[derive(Debug)]
pub(super) struct AnswerChecker {
    model: Arc<Model>,
    deltas: PathBuf,
}

impl AnswerChecker {
    pub(super) fn new(model: &Arc<Model>, deltas: PathBuf) -> Self {
        Self { model: Arc::clone(model), deltas }
    }

    fn sees_log(&self, node: &str, log: &VolumeLog) {
        for snapshot in &log.snapshots {
            if !self.model.facts().snapshots.contains_key(&snapshot.guid) {
                self.model.violated(format_args!("{} is announced, which was never taken", snapshot.name));
            }
        }
        for delta in &log.deltas {
            if self.model.facts().verified.insert(delta.digest.clone())
                && let Err(wrong) = is_whole(&self.deltas.join(&delta.file), delta)
            {
                self.model.violated(format_args!("delta {} is announced, and {wrong}", delta.file));
            }
        }
        self.model.told(node, log);
        if let Some(seen) = self.model.facts().reports.get_mut(node) {
            seen.spoke_ms = time::now_ms();
        }
    }
}

impl Observer for AnswerChecker {
    fn answers(&self, node: &str, path: &str, request: &[u8], body: &[u8]) {
        if path == routes::LOG
            && let Ok(log) = serde_json::from_slice::<VolumeLog>(body)
        {
            self.sees_log(node, &log);
        }
        if path.starts_with(routes::NODES)
            && let Ok(report) = serde_json::from_slice::<NodeReport>(request)
        {
            let head = report.head.map(|head| head.guid);
            let reported = Reported { head, at_ms: time::now_ms(), spoke_ms: time::now_ms() };
            self.model.facts().reports.insert(node.to_owned(), reported);
        }
    }
}

fn is_whole(path: &Path, delta: &DeltaRecord) -> Result<(), String> {
    let bytes = std::fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 != delta.bytes {
        return Err(format!("has {} bytes, not {}", bytes.len(), delta.bytes));
    }
    let (block, payload) = bytes.split_at_checked(HEADER_BYTES).ok_or("is shorter than its header")?;
    let header = Header::decode(block)?;
    match blake3::hash(payload).to_hex().as_str() == header.payload_digest {
        true => Ok(()),
        false => Err("its payload is another".to_owned()),
    }
}
