//! A session for one node that asks whether it hears this registrar at all.

use super::object::{Object, PrepareError};
use super::{SESSIONS_MAX, Shared, Slot, begin};
use bootstash_base::error::{Classified, ErrorClass};
use bootstash_base::names::NodeName;
use bootstash_net::api::SessionReply;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Enough datagrams to tell a loss of a tenth of a percent: some three thousand.
const PROBE_BYTES_MAX: u64 = 4 << 20;
/// Where the rate is low, fewer: nobody waits for long.
const PROBE_SECONDS: u64 = 2;

/// There can be no probe.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// It is not configured.
    #[error(
        "the registrar does not send by multicast; give it multicast.group and multicast.interface in registrar.toml, and restart it"
    )]
    Off,
    /// Others are under way.
    #[error("the registrar is sending to all just now; ask again in a while")]
    Busy,
    /// Nothing can be sent.
    #[error("the registrar cannot send by multicast")]
    Prepare(#[from] PrepareError),
}

impl Classified for ProbeError {
    fn kind(&self) -> ErrorClass {
        match self {
            Self::Off => ErrorClass::Operator,
            Self::Busy => ErrorClass::Busy,
            Self::Prepare(error) => error.kind(),
        }
    }
}

pub(super) async fn begin_probe(shared: &Arc<Shared>, node: &NodeName) -> Result<SessionReply, ProbeError> {
    // One at a time; it goes under a name that no delta has.
    let name = "probe".to_owned();
    let target = shared.target.clone();
    let bytes = (target.config.rate_bytes_per_second.get() * PROBE_SECONDS).min(PROBE_BYTES_MAX) as usize;
    let preparing = tokio::task::spawn_blocking(move || Object::probe(&target, bytes));
    let object = preparing.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
    let nodes = BTreeSet::from([node.clone()]);
    let Some((session, sending)) = begin(shared, object, &nodes) else { return Err(ProbeError::Busy) };
    let mut slots = shared.lock();
    if slots.len() >= SESSIONS_MAX || slots.iter().any(|(of, _)| *of == name) {
        return Err(ProbeError::Busy);
    }
    slots.push((name.clone(), Slot::Running(Arc::clone(&session))));
    shared.share_rate(&slots);
    let of = Arc::clone(shared);
    shared.tasks.spawn(async move {
        sending.run().await;
        of.set_slot(&name, None);
    });
    Ok(session.reply())
}
