//! A session for one node that asks whether multicast reaches it at all.

use super::Shared;
use super::delta_session::begin;
use super::object::{Object, PrepareError};
use bootstash_base::error::{Chain, Classified, ErrorClass};
use bootstash_base::names::NodeName;
use bootstash_multicast::SealError;
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
    /// Nothing can be sealed.
    #[error("the registrar cannot start a multicast session")]
    Start(#[from] SealError),
}

impl Classified for ProbeError {
    fn kind(&self) -> ErrorClass {
        match self {
            Self::Off => ErrorClass::Operator,
            Self::Busy => ErrorClass::Busy,
            Self::Prepare(error) => error.kind(),
            Self::Start(error) => error.kind(),
        }
    }
}

/// One at a time; it goes under a name that no delta has.
const SLOT: &str = "probe";

pub(super) async fn begin_probe(shared: &Arc<Shared>, node: &NodeName) -> Result<SessionReply, ProbeError> {
    let target = shared.target.clone();
    let bytes = (target.config.rate_bytes_per_second.get() * PROBE_SECONDS).min(PROBE_BYTES_MAX) as usize;
    let preparing = tokio::task::spawn_blocking(move || Object::probe(&target, bytes));
    let object = preparing.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
    let (session, task) = begin(shared, object, &BTreeSet::from([node.clone()]))?;
    if !shared.slots.try_start(SLOT, &session) {
        return Err(ProbeError::Busy);
    }
    let of = Arc::clone(shared);
    shared.tasks.spawn(async move {
        let summary = task.run().await;
        of.slots.release(SLOT);
        if let Err(error) = summary.outcome {
            tracing::warn!(error = %Chain(&error), "a multicast probe could not be sent");
        }
    });
    Ok(session.reply())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bootstash_multicast::SessionId;

    #[test]
    fn only_what_waiting_mends_is_busy() {
        let session = SessionId::try_from("00112233445566ff".to_owned()).unwrap();
        // A node asks again while it is told so.
        let cannot_start = ProbeError::from(SealError::Cipher { session });
        assert_eq!(cannot_start.kind(), ErrorClass::Permanent);
        assert!(Chain(&cannot_start).to_string().contains("start a new session"));
        assert_eq!(ProbeError::Busy.kind(), ErrorClass::Busy);
    }
}
