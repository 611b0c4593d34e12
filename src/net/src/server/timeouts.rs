//! How long a connection may take for what.

use std::time::Duration;

/// The limits of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionTimeouts {
    /// From the first byte to a known caller.
    pub handshake: Duration,
    /// All headers of a request, from the end of the one before.
    pub headers: Duration,
    /// A request's body, from its first byte to its last.
    pub body: Duration,
    /// Without a byte either way.
    pub silence: Duration,
    /// Unauthenticated clients altogether: they only ever join.
    pub unauthenticated: Duration,
}

impl Default for ConnectionTimeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            handshake: seconds(10),
            // Longer than any answer is held back (60 s), so that it ends only what hangs.
            headers: seconds(90),
            body: seconds(20),
            silence: seconds(90),
            unauthenticated: seconds(20),
        }
    }
}
