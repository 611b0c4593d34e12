//! Asking a peer to which the registrar sent us, and remembering those that did not help.
//!
//! Promises: only the very delta that was asked for is asked of a peer; a peer that does not answer, or
//! stalls, costs seconds; one that sent what it should not have is left alone for long.

use bootstash_base::error::{Chain, Classified, ErrorClass};
use bootstash_delta::DeltaRecord;
use bootstash_net::api::{CallError, Dialer, routes};
use bootstash_net::identity::ExpectedPeer;
use reqwest::{Response, Url};
use std::collections::HashMap;
use std::fmt;
use std::time::Duration;
use thiserror::Error;
use tokio::time::{Instant, timeout};

/// A peer is on the same network, or of no use.
const ANSWER: Duration = Duration::from_secs(5);
/// The longest without a byte of its answer.
pub(super) const STALL: Duration = Duration::from_secs(10);
/// What a peer must send a second to be better than waiting for the registrar.
const MIN_BYTES_PER_SECOND: u64 = 128 << 10;
/// PeerClient in quarantine at once; no more are remembered.
const MAX_QUARANTINED: usize = 1024;

/// A node that serves, as `host:port`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Peer(String);

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a peer did not help.
#[derive(Debug, Error)]
pub(super) enum PeerError {
    #[error("{location:?} is no place of this delta on a peer")]
    Location { location: String },
    #[error("it did not help before")]
    Quarantined,
    #[error("it did not answer within {} s", ANSWER.as_secs())]
    NoAnswer,
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("it is too slow")]
    Slow,
    #[error("what it sent is not what was asked for")]
    WrongContent,
}

impl PeerError {
    /// How long it is not asked again.
    fn quarantine_time(&self) -> Duration {
        Duration::from_secs(match self {
            // Its room is needed for something else, or others were faster.
            Self::Call(CallError::Refused { .. } | CallError::Busy { .. }) => 5,
            Self::Location { .. } | Self::Quarantined => 0,
            Self::NoAnswer | Self::Call(_) | Self::Slow => 60,
            Self::WrongContent => 3600,
        })
    }
}

/// The time by which a peer must have sent this number of bytes.
pub(super) fn deadline(bytes: u64) -> Instant {
    Instant::now() + STALL + Duration::from_secs(bytes / MIN_BYTES_PER_SECOND)
}

/// PeerClient, and those of them in quarantine because they did not help.
#[derive(Debug)]
pub(super) struct PeerClient {
    dialer: Dialer,
    quarantined: HashMap<Peer, Instant>,
}

impl PeerClient {
    pub(super) fn new(dialer: Dialer) -> Self {
        Self { dialer, quarantined: HashMap::new() }
    }

    /// Asks for the delta where the registrar says it is, from byte `offset` on.
    pub(super) async fn ask(
        &mut self,
        location: &str,
        record: &DeltaRecord,
        offset: u64,
    ) -> Result<(Peer, Response), PeerError> {
        let scheme = self.dialer.scheme();
        let peer = peer_of(scheme, location, record);
        let peer = peer.ok_or_else(|| PeerError::Location { location: location.to_owned() })?;
        if self.is_quarantined(&peer) {
            return Err(PeerError::Quarantined);
        }
        let answer = async {
            let url = format!("{scheme}://{peer}");
            let client = self.dialer.client_with_read_timeout(&url, ExpectedPeer::AnyNode, STALL)?;
            client.download(&path_of(record), offset).await
        };
        let answered = match timeout(ANSWER, answer).await {
            Ok(answered) => answered.map_err(PeerError::from),
            Err(_) => Err(PeerError::NoAnswer),
        };
        match answered {
            Ok(response) => Ok((peer, response)),
            Err(error) => {
                self.quarantine(&peer, &error);
                Err(error)
            }
        }
    }

    /// Does not ask this peer again until the time its failure calls for has passed.
    pub(super) fn quarantine(&mut self, peer: &Peer, why: &PeerError) {
        match why {
            PeerError::Call(error) if error.kind() == ErrorClass::Busy => {
                tracing::debug!("peer {peer}: {}", Chain(why))
            }
            PeerError::WrongContent => tracing::warn!("leaving peer {peer} alone: {}", Chain(why)),
            _ => tracing::info!("leaving peer {peer} alone for a while: {}", Chain(why)),
        }
        let now = Instant::now();
        self.quarantined.retain(|_, until| *until > now);
        if self.quarantined.len() < MAX_QUARANTINED {
            self.quarantined.insert(peer.clone(), now + why.quarantine_time());
        }
    }

    fn is_quarantined(&self, peer: &Peer) -> bool {
        self.quarantined.get(peer).is_some_and(|until| *until > Instant::now())
    }
}

fn path_of(record: &DeltaRecord) -> String {
    format!("{}/{}", routes::DELTAS, record.digest)
}

/// The peer that a location names; none where it leads anywhere but to this delta.
fn peer_of(scheme: &str, location: &str, record: &DeltaRecord) -> Option<Peer> {
    let url = Url::parse(location).ok()?;
    let plain = url.scheme() == scheme && url.path() == path_of(record) && url.username().is_empty();
    let bare = url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    let (host, port) = (url.host_str()?, url.port_or_known_default()?);
    (plain && bare).then(|| Peer(format!("{host}:{port}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bootstash_base::names::{Guid, SnapshotName};

    fn record() -> DeltaRecord {
        DeltaRecord {
            file: "1-2.bsd".to_owned(),
            from: None,
            to: Guid::new(1),
            to_name: SnapshotName::new(1, chrono::DateTime::UNIX_EPOCH),
            bytes: 1,
            digest: "ab".repeat(32),
        }
    }

    #[test]
    fn nobody_is_asked_for_anything_but_the_delta() {
        let digest = record().digest;
        let peer = |location: &str| peer_of("https", location, &record()).map(|peer| peer.to_string());
        assert_eq!(peer(&format!("https://c17:7432/v1/deltas/{digest}")).unwrap(), "c17:7432");
        assert_eq!(peer(&format!("https://[fd00::1]:7432/v1/deltas/{digest}")).unwrap(), "[fd00::1]:7432");
        for bad in [
            "",
            "/v1/deltas/x",
            "https://c17:7432/v1/overlays",
            &format!("file:///v1/deltas/{digest}"),
            &format!("http://c17/v1/deltas/{digest}"),
            &format!("https://c17/v1/deltas/{digest}?x=1"),
            &format!("https://c17/v1/deltas/../x/{digest}"),
            &format!("https://a:b@c17/v1/deltas/{digest}"),
            &format!("https://c17/v1/deltas/{}", "cd".repeat(32)),
        ] {
            assert_eq!(peer(bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn one_that_did_not_help_is_quarantined() {
        let mut peers = PeerClient::new(Dialer::without_tls());
        let location = format!("http://127.0.0.1:1/v1/deltas/{}", record().digest);
        let error = peers.ask(&location, &record(), 0).await.unwrap_err();
        assert!(matches!(error, PeerError::Call(CallError::Unreachable { .. })), "{error}");
        assert!(matches!(peers.ask(&location, &record(), 0).await, Err(PeerError::Quarantined)));
    }
}
