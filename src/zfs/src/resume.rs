//! Receives that can be cut and go on.

use std::fmt;
use std::str::FromStr;

/// Longest token taken; OpenZFS 2.3 makes some of 300 characters.
const TOKEN_BYTES: usize = 4096;

/// What ZFS gives out to go on with a receive that was cut (`receive_resume_token`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumeToken(String);

impl ResumeToken {
    /// As `zfs send -t` takes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ResumeToken {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        // Never an option, and nothing but what ZFS itself writes: version, checksum, length, bytes.
        let plain = text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        match plain && text.starts_with("1-") && text.len() <= TOKEN_BYTES {
            true => Ok(Self(text.to_owned())),
            false => Err("this is no resume token of ZFS".to_owned()),
        }
    }
}

impl fmt::Display for ResumeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What becomes of a receive that is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receive {
    /// Nothing of it stays.
    NonResumable,
    /// What came stays, to go on with. Only where [`super::Capabilities::resumable_receive`].
    Resumable,
    /// This is the rest of one that was cut; cut again, what came stays.
    Resume,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_zfs_writes_and_no_option() {
        assert!("1-dcbe92041-b8-789c636064000310a500c4ec".parse::<ResumeToken>().is_ok());
        for text in
            ["", "-", "-n", "--help", "1-ab cd", "1-ab;reboot", "2-ab", &format!("1-{}", "a".repeat(5000))]
        {
            assert!(text.parse::<ResumeToken>().is_err(), "{text}");
        }
    }
}
