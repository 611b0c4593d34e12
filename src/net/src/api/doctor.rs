//! What a node finds out about multicast when it is asked to.

use bootstash_multicast::Group;
use serde::{Deserialize, Serialize};

/// What a session for this node alone showed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MulticastFindings {
    /// Where the registrar sends to.
    pub group: Group,
    /// Where this node listens: name and address.
    pub interface: String,
    /// Whether deltas are received by multicast, as configured on this node.
    pub enabled: bool,
    /// Whether any datagram of the session reached this node.
    #[serde(rename = "heard")]
    pub reached: bool,
    /// Datagrams that were sent while this node listened.
    pub expected: u64,
    /// How many of them came.
    pub received: u64,
    /// Datagrams that this host dropped, for want of room in the socket.
    pub socket_drops: u64,
    /// Datagrams on the group that were not the registrar's.
    #[serde(rename = "strange")]
    pub foreign_datagrams: u64,
    /// What the socket holds, in bytes.
    pub buffer_bytes: u64,
    /// What it should hold at the registrar's rate, in bytes.
    pub wanted_buffer_bytes: u64,
    /// What the registrar sends a second at most, in bytes.
    pub bytes_per_second: u64,
}

impl MulticastFindings {
    /// The part that was lost, from 0 to 1.
    pub fn loss(&self) -> f64 {
        if self.expected == 0 { 0.0 } else { 1.0 - self.received as f64 / self.expected as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_json_are_those_of_the_first_version() {
        let json = serde_json::json!({
            "group": "239.77.66.1:7434", "interface": "eth1 (10.0.0.17)", "enabled": true, "heard": true,
            "expected": 10, "received": 9, "socket_drops": 0, "strange": 3, "buffer_bytes": 1,
            "wanted_buffer_bytes": 2, "bytes_per_second": 3,
        });
        let findings: MulticastFindings = serde_json::from_value(json.clone()).unwrap();
        assert!(findings.reached && findings.foreign_datagrams == 3);
        assert_eq!(serde_json::to_value(&findings).unwrap(), json);
    }
}
