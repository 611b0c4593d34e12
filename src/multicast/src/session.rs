//! What a session is, as the registrar tells it to each node over TLS: its name, key, cut and hashes.
//!
//! Promises: what was parsed is within all bounds, and has a hash for every block; the key is never shown.

use super::block_layout::{BlockLayout, BlockLayoutError};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Name of a session: random, so that no two are taken for one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionId(u64);

impl SessionId {
    pub(super) fn parse(text: &str) -> Result<Self, AnnouncementError> {
        let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let id = digits.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        id.map(Self).ok_or_else(|| AnnouncementError::Field {
            what: "name",
            wanted: "16 hexadecimal digits".to_owned(),
        })
    }

    pub(super) fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

// A session's name in JSON is text: 64 bits do not fit a JSON number everywhere.
impl From<SessionId> for String {
    fn from(session: SessionId) -> Self {
        session.to_string()
    }
}

impl TryFrom<String> for SessionId {
    type Error = AnnouncementError;

    fn try_from(text: String) -> Result<Self, AnnouncementError> {
        Self::parse(&text)
    }
}

/// The key of one session. It is made for it, never kept on disk, and never shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionKey([u8; 16]);

impl SessionKey {
    pub(super) fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(…)")
    }
}

/// All that a node must know to take part. It holds the key: for TLS only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Announcement {
    session: SessionId,
    key: SessionKey,
    layout: BlockLayout,
    report_interval: Duration,
    hashes: Vec<[u8; 32]>,
}

/// A session cannot be announced, or an announcement not be used.
#[derive(Debug, thiserror::Error, bootstash_base::error::Classified)]
pub enum AnnouncementError {
    /// The object cannot be cut so.
    #[error("the multicast session cannot be: use unicast")]
    #[class(permanent)]
    BlockLayout(#[from] BlockLayoutError),
    /// Not base64, or not of the right length.
    #[error(
        "the multicast session's {what} is not {wanted}; registrar and agent must be of the same version"
    )]
    #[class(permanent)]
    Field {
        /// The field.
        what: &'static str,
        /// What it should be.
        wanted: String,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers; a multicast session needs them for its key")]
    #[class(operator)]
    Random,
}

/// A key does not fit the session.
#[derive(Debug, thiserror::Error, bootstash_base::error::Classified)]
#[class(permanent)]
pub enum RekeyError {
    /// Of another layout, or with other hashes.
    #[error("multicast session {given} is not of the object of {session}; make it by Announcement::rekeyed")]
    OtherObject {
        /// The one in use.
        session: SessionId,
        /// As given.
        given: SessionId,
    },
    /// Nobody asked for it.
    #[error("multicast session {session} asked for no new key; {given} is not used")]
    Unasked {
        /// The one in use.
        session: SessionId,
        /// As given.
        given: SessionId,
    },
    /// It was used already: nonces would repeat.
    #[error("multicast session {session} has this key already; make a new one by Announcement::rekeyed")]
    NotNew {
        /// The one in use.
        session: SessionId,
    },
    /// It cannot seal.
    #[error(transparent)]
    Seal(#[from] super::wire::SealError),
}

impl Announcement {
    /// Reports are at least this far apart, and at most [`Self::REPORTS_MAX`].
    pub const REPORTS_MIN: Duration = Duration::from_millis(20);
    /// See [`Self::REPORTS_MIN`].
    pub const REPORTS_MAX: Duration = Duration::from_secs(1);

    /// A new session, with a name and a key of its own, for an object with these BLAKE3 hashes of its blocks,
    /// sent at up to this rate.
    ///
    /// # Errors
    /// Where there are not as many hashes as blocks, or the system gives no random numbers.
    pub fn new(
        layout: BlockLayout,
        hashes: Vec<[u8; 32]>,
        bytes_per_second: u64,
    ) -> Result<Self, AnnouncementError> {
        let (session, key) = random()?;
        Self { session, key, layout, report_interval: report_interval(&layout, bytes_per_second), hashes }
            .checked()
    }

    /// The same, with another name and another key.
    ///
    /// # Errors
    /// Where the system gives no random numbers.
    pub fn rekeyed(&self) -> Result<Self, AnnouncementError> {
        let (session, key) = random()?;
        Ok(Self { session, key, ..self.clone() })
    }

    fn checked(self) -> Result<Self, AnnouncementError> {
        let blocks = self.layout.blocks();
        if self.hashes.len() != blocks as usize {
            let wanted = format!("one hash for each of its {blocks} blocks");
            return Err(AnnouncementError::Field { what: "list of hashes", wanted });
        }
        if !(Self::REPORTS_MIN..=Self::REPORTS_MAX).contains(&self.report_interval) {
            let wanted = "from 20 to 1000 ms".to_owned();
            return Err(AnnouncementError::Field { what: "time between reports", wanted });
        }
        Ok(self)
    }

    /// The session's name.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// How the object is cut.
    pub fn layout(&self) -> &BlockLayout {
        &self.layout
    }

    /// How often a node reports.
    pub fn report_interval(&self) -> Duration {
        self.report_interval
    }

    /// How often the sender says how far it is.
    pub fn heartbeat_interval(&self) -> Duration {
        self.report_interval / 2
    }

    pub(super) fn key(&self) -> &SessionKey {
        &self.key
    }

    /// Whether all is the same but name and key.
    pub(super) fn is_same_object(&self, other: &Self) -> bool {
        let of = |one: &Self| (one.layout, one.report_interval);
        of(self) == of(other) && self.hashes == other.hashes
    }

    /// Whether these are the block's bytes.
    pub(super) fn is_block(&self, block: u32, bytes: &[u8]) -> bool {
        self.hashes.get(block as usize).is_some_and(|hash| blake3::hash(bytes) == *hash)
    }
}

fn random() -> Result<(SessionId, SessionKey), AnnouncementError> {
    let random = SystemRandom::new();
    let (mut id, mut key) = ([0; 8], [0; 16]);
    random.fill(&mut id).map_err(|_| AnnouncementError::Random)?;
    random.fill(&mut key).map_err(|_| AnnouncementError::Random)?;
    Ok((SessionId(u64::from_be_bytes(id)), SessionKey(key)))
}

/// Short enough that what comes in until a repair does, about three reports later, fits a receiver's memory.
fn report_interval(layout: &BlockLayout, bytes_per_second: u64) -> Duration {
    let three_blocks = 3.0 * layout.block_bytes() as f64 / bytes_per_second.max(1) as f64;
    Duration::from_millis((three_blocks * 1000.0) as u64)
        .clamp(Announcement::REPORTS_MIN, Duration::from_millis(200))
}

/// As it goes over TLS.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    session: SessionId,
    key: String,
    length: u64,
    symbol_bytes: u16,
    source_symbols: u16,
    repair_symbols: u16,
    report_millis: u64,
    hashes: String,
}

impl From<Announcement> for Written {
    fn from(from: Announcement) -> Self {
        Self {
            session: from.session,
            key: URL_SAFE_NO_PAD.encode(from.key.0),
            length: from.layout.length(),
            symbol_bytes: from.layout.symbol_bytes() as u16,
            source_symbols: from.layout.full_source_symbols(),
            repair_symbols: from.layout.repair_symbols(),
            report_millis: from.report_interval.as_millis() as u64,
            hashes: URL_SAFE_NO_PAD.encode(from.hashes.concat()),
        }
    }
}

impl TryFrom<Written> for Announcement {
    type Error = AnnouncementError;

    fn try_from(from: Written) -> Result<Self, AnnouncementError> {
        let layout =
            BlockLayout::new(from.length, from.symbol_bytes, from.source_symbols, from.repair_symbols)?;
        let wrong = |what, wanted: &str| AnnouncementError::Field { what, wanted: wanted.to_owned() };
        let key = URL_SAFE_NO_PAD.decode(&from.key).ok().and_then(|key| key.try_into().ok());
        let hashes = URL_SAFE_NO_PAD.decode(&from.hashes).ok().filter(|bytes| bytes.len().is_multiple_of(32));
        let hashes = hashes.ok_or_else(|| wrong("list of hashes", "32 bytes for each block"))?;
        Self {
            session: from.session,
            key: SessionKey(key.ok_or_else(|| wrong("key", "16 bytes"))?),
            layout,
            report_interval: Duration::from_millis(from.report_millis),
            hashes: hashes.as_chunks::<32>().0.to_vec(),
        }
        .checked()
    }
}
