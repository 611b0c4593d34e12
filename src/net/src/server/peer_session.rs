//! What a connection was let in with, and for how long it counts.

use super::RevocationList;
use crate::identity::{Identity, Principal};
use chrono::{DateTime, Utc};
use std::fmt;

/// Who is at the other end of a connection. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct PeerSession {
    caller: Principal,
    expires: DateTime<Utc>,
    revoked: RevocationList,
}

impl PeerSession {
    /// That of a certificate; an unauthenticated one's where there was none.
    pub(super) fn of(known: Option<(Principal, DateTime<Utc>)>, revoked: RevocationList) -> Self {
        let (caller, expires) = known.unwrap_or((Principal::Unauthenticated, DateTime::<Utc>::MAX_UTC));
        Self { caller, expires, revoked }
    }

    pub(super) fn caller(&self) -> &Principal {
        &self.caller
    }

    pub(super) fn is_member(&self) -> bool {
        matches!(self.caller, Principal::Member { .. })
    }

    /// Whether it counts at this instant.
    pub(super) fn counts(&self) -> bool {
        match &self.caller {
            Principal::Member { serial, .. } => {
                Utc::now() < self.expires && !self.revoked.has_expelled(serial)
            }
            Principal::Unauthenticated => true,
        }
    }

    /// Who it is, where their certificate was taken back before they came.
    pub(super) fn revoked(&self) -> Option<&Identity> {
        match &self.caller {
            Principal::Member { identity, serial } if self.revoked.has_expelled(serial) => Some(identity),
            _ => None,
        }
    }

    /// Waits until it does not count any more.
    pub(super) async fn ends(&self) {
        match &self.caller {
            Principal::Member { serial, .. } => self.revoked.closes_for(serial, self.expires).await,
            Principal::Unauthenticated => std::future::pending().await,
        }
    }
}

impl fmt::Display for PeerSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.caller {
            Principal::Member { identity, serial } => write!(f, "{identity}, certificate {serial}"),
            Principal::Unauthenticated => f.write_str("an unauthenticated client"),
        }
    }
}
