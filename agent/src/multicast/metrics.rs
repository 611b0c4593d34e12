//! What receiving by multicast counts.

use super::session::ReceiveSession;
use bootstash_multicast::{Counters, LeaveReason};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// The counts. Cheap to clone; clones count together.
#[derive(Clone, Debug, Default)]
pub struct MulticastMetrics {
    sessions: Counter,
    datagrams: Family<Outcome, Counter>,
    dropped: Counter,
    unicast_bytes: Counter,
    bad_blocks: Counter,
    left: Family<Reason, Counter>,
}

impl MulticastMetrics {
    /// Has them shown, all at zero: the first of a kind must not look like a counter that was never there.
    pub fn register(&self, to: &mut Registry) {
        for (outcome, _) in outcomes(&Counters::default()) {
            drop(self.datagrams.get_or_create(&Outcome { outcome }));
        }
        for why in [LeaveReason::HeartbeatTimeout, LeaveReason::KeyCompromised] {
            drop(self.left.get_or_create(&Reason { reason: reason(why) }));
        }
        to.register("multicast_sessions", "Multicast sessions this node took part in", self.sessions.clone());
        to.register(
            "multicast_datagrams",
            "Multicast datagrams that came, by what became of them",
            self.datagrams.clone(),
        );
        to.register(
            "multicast_socket_drops",
            "Multicast datagrams that this host dropped, for want of room in the socket",
            self.dropped.clone(),
        );
        to.register_with_unit(
            "multicast_unicast",
            "Bytes of what was sent to all that this node fetched by itself",
            Unit::Bytes,
            self.unicast_bytes.clone(),
        );
        to.register(
            "multicast_bad_blocks",
            "Blocks that came by multicast and were not what the registrar had announced",
            self.bad_blocks.clone(),
        );
        to.register(
            "multicast_left",
            "Sessions this node left for unicast in the middle, by reason",
            self.left.clone(),
        );
    }

    pub(super) fn ended(&self, session: &ReceiveSession) {
        let counters = session.counters();
        self.sessions.inc();
        for (outcome, datagrams) in outcomes(counters) {
            self.datagrams.get_or_create(&Outcome { outcome }).inc_by(datagrams);
        }
        self.dropped.inc_by(session.dropped().unwrap_or_default());
        self.unicast_bytes.inc_by(counters.unicast_bytes);
        self.bad_blocks.inc_by(counters.bad_blocks.into());
        if let Some(why) = session.left() {
            self.left.get_or_create(&Reason { reason: reason(why) }).inc();
        }
    }
}

fn outcomes(counters: &Counters) -> [(&'static str, u64); 7] {
    [
        ("taken", counters.taken),
        ("without-room", counters.without_room),
        ("wrong-length", counters.wrong_length),
        ("wrong-session", counters.wrong_session),
        ("wrong-position", counters.wrong_position),
        ("held", counters.held),
        ("wrong-seal", counters.wrong_seal),
    ]
}

fn reason(why: LeaveReason) -> &'static str {
    match why {
        LeaveReason::HeartbeatTimeout => "unheard",
        LeaveReason::KeyCompromised => "poisoned",
    }
}
