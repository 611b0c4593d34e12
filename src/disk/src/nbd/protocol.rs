//! The NBD protocol's bytes, read-only side: fixed newstyle handshake, simple replies. Pure.
//!
//! Names and numbers are those of the protocol's document, `doc/proto.md` of NetworkBlockDevice/nbd.

/// The longest read that is served; also what clients are told.
pub(super) const MAX_READ_BYTES: u32 = 32 << 20;
/// The longest option that is read: a name has 4096 bytes at most.
pub(super) const MAX_OPTION_BYTES: u32 = 8 << 10;

const NBDMAGIC: u64 = 0x4e42_444d_4147_4943;
const IHAVEOPT: u64 = 0x4948_4156_454f_5054;
const REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
const REQUEST_MAGIC: u32 = 0x2560_9513;
const SIMPLE_REPLY_MAGIC: u32 = 0x6744_6698;

const FLAG_FIXED_NEWSTYLE: u16 = 1;
const FLAG_NO_ZEROES: u16 = 2;

/// Has flags, is read-only, and several connections see the same bytes.
const TRANSMISSION_FLAGS: u16 = 1 | 2 | (1 << 8);

const OPT_EXPORT_NAME: u32 = 1;
const OPT_ABORT: u32 = 2;
const OPT_LIST: u32 = 3;
const OPT_INFO: u32 = 6;
const OPT_GO: u32 = 7;

const REP_ACK: u32 = 1;
const REP_SERVER: u32 = 2;
const REP_INFO: u32 = 3;
const REP_ERR_UNSUP: u32 = (1 << 31) + 1;
const REP_ERR_INVALID: u32 = (1 << 31) + 3;
const REP_ERR_UNKNOWN: u32 = (1 << 31) + 6;

const INFO_EXPORT: u16 = 0;
const INFO_BLOCK_SIZE: u16 = 3;

/// Errors of a reply, as the protocol numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum ReplyError {
    None = 0,
    NotPermitted = 1,
    Io = 5,
    Invalid = 22,
}

/// What the server sends first.
pub(super) fn greeting() -> Vec<u8> {
    Bytes::default().u64(NBDMAGIC).u64(IHAVEOPT).u16(FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES).0
}

/// What the client's first word means: whether it wants the old padding; `None` where it is no
/// newstyle client.
pub(super) fn wants_zeroes(client_flags: u32) -> Option<bool> {
    let known = u32::from(FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES);
    let newstyle = client_flags & u32::from(FLAG_FIXED_NEWSTYLE) != 0 && client_flags & !known == 0;
    newstyle.then_some(client_flags & u32::from(FLAG_NO_ZEROES) == 0)
}

/// The head of an option: its number and the length of what follows. `None` for no option.
pub(super) fn option_head(bytes: &[u8; 16]) -> Option<(u32, u32)> {
    let [magic, option, length] = [&bytes[..8], &bytes[8..12], &bytes[12..]].map(number);
    let (option, length) = (u32::try_from(option).ok()?, u32::try_from(length).ok()?);
    (magic == IHAVEOPT && length <= MAX_OPTION_BYTES).then_some((option, length))
}

/// What follows an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Another option.
    Options,
    /// Requests: the export was chosen.
    Transmission,
    /// The connection ends.
    End,
}

/// The answer to an option, for an export of `size_bytes` under the empty name.
pub(super) fn answer(option: u32, data: &[u8], size_bytes: u64, zeroes: bool) -> (Vec<u8>, Next) {
    let reply = |kind| option_reply(option, kind, &[]);
    match option {
        OPT_EXPORT_NAME if data.is_empty() => {
            let head = Bytes::default().u64(size_bytes).u16(TRANSMISSION_FLAGS);
            (head.zeroes(if zeroes { 124 } else { 0 }).0, Next::Transmission)
        }
        // The protocol has no way to refuse here but to hang up.
        OPT_EXPORT_NAME => (Vec::new(), Next::End),
        OPT_ABORT => (reply(REP_ACK), Next::End),
        OPT_LIST if data.is_empty() => {
            let mut bytes = option_reply(option, REP_SERVER, &[0; 4]);
            bytes.extend(reply(REP_ACK));
            (bytes, Next::Options)
        }
        OPT_LIST => (reply(REP_ERR_INVALID), Next::Options),
        OPT_INFO | OPT_GO => match requested_name(data) {
            None => (reply(REP_ERR_INVALID), Next::Options),
            Some([]) => {
                let next = if option == OPT_GO { Next::Transmission } else { Next::Options };
                (description(option, size_bytes), next)
            }
            Some(_) => (reply(REP_ERR_UNKNOWN), Next::Options),
        },
        _ => (reply(REP_ERR_UNSUP), Next::Options),
    }
}

fn description(option: u32, size_bytes: u64) -> Vec<u8> {
    let export = Bytes::default().u16(INFO_EXPORT).u64(size_bytes).u16(TRANSMISSION_FLAGS).0;
    let blocks = Bytes::default().u16(INFO_BLOCK_SIZE).u32(1).u32(4096).u32(MAX_READ_BYTES).0;
    let mut bytes = option_reply(option, REP_INFO, &export);
    bytes.extend(option_reply(option, REP_INFO, &blocks));
    bytes.extend(option_reply(option, REP_ACK, &[]));
    bytes
}

/// The name within INFO and GO: its length, itself, and a counted list of two-byte wishes.
fn requested_name(data: &[u8]) -> Option<&[u8]> {
    let length = usize::try_from(number(data.get(..4)?)).ok()?;
    let (name, wishes) = data[4..].split_at_checked(length)?;
    let count = usize::try_from(number(wishes.get(..2)?)).ok()?;
    (wishes.len() == 2 + 2 * count).then_some(name)
}

fn option_reply(option: u32, kind: u32, data: &[u8]) -> Vec<u8> {
    // Data here is a few bytes of our own making.
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut bytes = Bytes::default().u64(REPLY_MAGIC).u32(option).u32(kind).u32(length).0;
    bytes.extend_from_slice(data);
    bytes
}

/// A request after the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) cookie: u64,
    pub(super) offset: u64,
    pub(super) length: u32,
    pub(super) command: Command,
}

/// What is requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Read,
    /// Its data follows the request.
    Write,
    Disconnect,
    Flush,
    Other,
}

/// Length of the head of a request.
pub(super) const REQUEST_BYTES: usize = 28;
/// Length of the head of a simple reply.
pub(super) const REPLY_BYTES: usize = 16;

/// Reads a request; `None` where it is none.
pub(super) fn request(bytes: &[u8; REQUEST_BYTES]) -> Option<Request> {
    if number(&bytes[..4]) != u64::from(REQUEST_MAGIC) {
        return None;
    }
    let command = match number(&bytes[6..8]) {
        0 => Command::Read,
        1 => Command::Write,
        2 => Command::Disconnect,
        3 => Command::Flush,
        _ => Command::Other,
    };
    let length = u32::try_from(number(&bytes[24..28])).ok()?;
    Some(Request { cookie: number(&bytes[8..16]), offset: number(&bytes[16..24]), length, command })
}

/// What to do with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Read,
    Reply(ReplyError),
    /// Read the data that follows and drop it, then reply.
    Discard(ReplyError),
    HangUp,
}

/// Judges a request for an export of `size_bytes`.
pub(super) fn judge(request: &Request, size_bytes: u64) -> Verdict {
    let end = request.offset.checked_add(request.length.into());
    let within = end.is_some_and(|end| end <= size_bytes) && request.length <= MAX_READ_BYTES;
    match request.command {
        Command::Read if within => Verdict::Read,
        Command::Read | Command::Other => Verdict::Reply(ReplyError::Invalid),
        Command::Flush => Verdict::Reply(ReplyError::None),
        Command::Write if request.length <= MAX_READ_BYTES => Verdict::Discard(ReplyError::NotPermitted),
        Command::Write | Command::Disconnect => Verdict::HangUp,
    }
}

/// The head of a reply; data follows it where there is no error.
pub(super) fn reply(cookie: u64, error: ReplyError) -> [u8; REPLY_BYTES] {
    let mut bytes = [0; REPLY_BYTES];
    bytes[..4].copy_from_slice(&SIMPLE_REPLY_MAGIC.to_be_bytes());
    bytes[4..8].copy_from_slice(&(error as u32).to_be_bytes());
    bytes[8..].copy_from_slice(&cookie.to_be_bytes());
    bytes
}

/// Big-endian number of up to 8 bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum, &byte| (sum << 8) | u64::from(byte))
}

#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn u16(mut self, value: u16) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }
    fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }
    fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }
    fn zeroes(mut self, count: usize) -> Self {
        self.0.resize(self.0.len() + count, 0);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(offset: u64, length: u32) -> Request {
        Request { cookie: 7, offset, length, command: Command::Read }
    }

    #[test]
    fn reads_are_served_to_the_last_byte_and_no_further() {
        assert_eq!(judge(&read(0, 100), 100), Verdict::Read);
        assert_eq!(judge(&read(99, 1), 100), Verdict::Read);
        assert_eq!(judge(&read(100, 0), 100), Verdict::Read);
        assert_eq!(judge(&read(100, 1), 100), Verdict::Reply(ReplyError::Invalid));
        assert_eq!(judge(&read(u64::MAX, 1), 100), Verdict::Reply(ReplyError::Invalid));
        assert_eq!(judge(&read(0, MAX_READ_BYTES + 1), u64::MAX), Verdict::Reply(ReplyError::Invalid));
    }

    #[test]
    fn nothing_can_be_written() {
        let write = Request { command: Command::Write, ..read(0, 100) };
        assert_eq!(judge(&write, 100), Verdict::Discard(ReplyError::NotPermitted));
        let flood = Request { length: u32::MAX, ..write };
        assert_eq!(judge(&flood, 100), Verdict::HangUp);
        assert_eq!(TRANSMISSION_FLAGS & 2, 2, "clients are not told that it is read-only");
    }

    #[test]
    fn only_the_empty_name_is_there() {
        let go = |name: &[u8]| {
            let mut data = u32::try_from(name.len()).unwrap().to_be_bytes().to_vec();
            data.extend_from_slice(name);
            data.extend([0, 0]);
            answer(OPT_GO, &data, 1 << 20, false)
        };
        assert_eq!(go(b"").1, Next::Transmission);
        let (refusal, next) = go(b"other");
        assert_eq!((next, &refusal[12..16]), (Next::Options, &REP_ERR_UNKNOWN.to_be_bytes()[..]));
        assert_eq!(answer(OPT_EXPORT_NAME, b"other", 1, false), (Vec::new(), Next::End));
    }

    #[test]
    fn old_clients_get_their_padding() {
        assert_eq!(wants_zeroes(1), Some(true));
        assert_eq!(wants_zeroes(3), Some(false));
        assert_eq!(wants_zeroes(0), None);
        assert_eq!(answer(OPT_EXPORT_NAME, b"", 1, true).0.len(), 134);
        assert_eq!(answer(OPT_EXPORT_NAME, b"", 1, false).0.len(), 10);
    }

    #[test]
    fn unknown_options_are_refused_and_the_client_may_go_on() {
        for option in [5, 8, 9, 99] {
            let (bytes, next) = answer(option, &[], 1, false);
            assert_eq!((next, &bytes[12..16]), (Next::Options, &REP_ERR_UNSUP.to_be_bytes()[..]));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(head: [u8; 16], call: [u8; REQUEST_BYTES], option in 0_u32..12, data: Vec<u8>) {
            let _ = option_head(&head);
            let _ = answer(option, &data, 1 << 30, true);
            if let Some(request) = request(&call) {
                let _ = judge(&request, 1 << 30);
            }
        }
    }
}
