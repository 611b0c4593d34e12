//! Paths as text, whatever bytes they hold: on the wire, in records, and in messages.
//!
//! A path that is no UTF-8 is written as a shell word, `$'/vms/a\xff.qcow2'` (as `ls --quoting-style=shell-escape`
//! does): it can be pasted into a command line, and no absolute path begins like it.
//!
//! Promises: [`to_text`] loses nothing, [`from_text`] reads it back; paths that are UTF-8 stand in JSON as they
//! always did. [`shown`] cannot drive a terminal or break a line of a log.

use serde::{Deserialize, Deserializer, Serializer};
use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

const OPEN: &str = "$'";
const CLOSE: &str = "'";

/// A text that begins as a quoted path does, and is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a quoted path")]
pub struct UnquoteError {
    text: String,
}

/// A path as text for programs: as it is, or quoted where that is not possible.
pub fn to_text(path: &Path) -> Cow<'_, str> {
    match path.to_str() {
        Some(text) if !text.starts_with(OPEN) => Cow::Borrowed(text),
        _ => Cow::Owned(quoted(path.as_os_str())),
    }
}

/// The path of a text.
///
/// # Errors
/// Where it is quoted in no way of ours.
pub fn from_text(text: &str) -> Result<PathBuf, UnquoteError> {
    let Some(inner) = text.strip_prefix(OPEN) else { return Ok(PathBuf::from(text)) };
    let bytes = inner.strip_suffix(CLOSE).and_then(unescaped);
    let bytes = bytes.ok_or_else(|| UnquoteError { text: text.to_owned() })?;
    Ok(PathBuf::from(OsString::from_vec(bytes)))
}

/// A path for people, on one line: quoted also where it holds characters that steer a terminal.
pub fn shown(path: &Path) -> Cow<'_, str> {
    match path.to_str() {
        Some(text) if !text.chars().any(steers) => Cow::Borrowed(text),
        _ => Cow::Owned(quoted(path.as_os_str())),
    }
}

fn quoted(path: &OsStr) -> String {
    let mut text = OPEN.to_owned();
    for chunk in path.as_bytes().utf8_chunks() {
        chunk.valid().chars().for_each(|c| push(&mut text, c));
        push_bytes(&mut text, chunk.invalid());
    }
    text + CLOSE
}

fn push(text: &mut String, c: char) {
    match c {
        '\\' | '\'' => text.extend(['\\', c]),
        '\n' => text.push_str("\\n"),
        '\t' => text.push_str("\\t"),
        c if steers(c) => push_bytes(text, c.encode_utf8(&mut [0; 4]).as_bytes()),
        c => text.push(c),
    }
}

/// Control characters, and those that turn the direction of writing.
fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn push_bytes(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a string does not fail.
        write!(text, "\\x{byte:02x}").ok();
    }
}

/// The bytes of what stands between the quotes.
fn unescaped(inner: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut rest) = (Vec::new(), inner);
    while let Some((before, escape)) = rest.split_once('\\') {
        bytes.extend(before.as_bytes());
        let (byte, length) = match escape.as_bytes().first()? {
            b'x' => (u8::from_str_radix(escape.get(1..3)?, 16).ok()?, 3),
            b'n' => (b'\n', 1),
            b't' => (b'\t', 1),
            same @ (b'\\' | b'\'') => (*same, 1),
            _ => return None,
        };
        bytes.push(byte);
        rest = &escape[length..];
    }
    bytes.extend(rest.as_bytes());
    Some(bytes)
}

/// For `#[serde(with = "bootstash_base::quoted_path")]`.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&to_text(path))
}

/// The other way.
///
/// # Errors
/// Where there is no text, or one that is quoted in no way of ours.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    from_text(&Cow::<'de, str>::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

/// The same of a path that need not be there.
pub mod option {
    use super::{Cow, Deserialize, Deserializer, Path, PathBuf, Serializer, from_text, to_text};

    /// As [`super::serialize`].
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(
        path: &Option<impl AsRef<Path>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match path {
            Some(path) => serializer.serialize_some(&to_text(path.as_ref())),
            None => serializer.serialize_none(),
        }
    }

    /// As [`super::deserialize`].
    ///
    /// # Errors
    /// As there.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
        let text = Option::<Cow<'de, str>>::deserialize(deserializer)?;
        text.map(|text| from_text(&text)).transpose().map_err(serde::de::Error::custom)
    }
}

/// The same of several paths.
pub mod list {
    use super::{Cow, Deserialize, Deserializer, PathBuf, Serializer, from_text, to_text};

    /// As [`super::serialize`].
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(paths.iter().map(|path| to_text(path)))
    }

    /// As [`super::deserialize`].
    ///
    /// # Errors
    /// As there.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
        let texts = Vec::<Cow<'de, str>>::deserialize(deserializer)?;
        texts.iter().map(|text| from_text(text).map_err(serde::de::Error::custom)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(bytes: &[u8]) -> &Path {
        Path::new(OsStr::from_bytes(bytes))
    }

    #[test]
    fn any_bytes_are_one_readable_text_and_come_back() {
        for (bytes, text, for_people) in [
            (&b"/vms/a b.qcow2"[..], "/vms/a b.qcow2", "/vms/a b.qcow2"),
            ("/vms/ü\u{1}".as_bytes(), "/vms/ü\u{1}", "$'/vms/ü\\x01'"),
            (b"/vms/\xff\xfe'\\.qcow2", "$'/vms/\\xff\\xfe\\'\\\\.qcow2'", "$'/vms/\\xff\\xfe\\'\\\\.qcow2'"),
            (b"/\xe4\n\t\x1b", "$'/\\xe4\\n\\t\\x1b'", "$'/\\xe4\\n\\t\\x1b'"),
            (b"$'x", "$'$\\'x'", "$'x"),
            (b"/a\\xff", "/a\\xff", "/a\\xff"),
        ] {
            assert_eq!(to_text(path(bytes)), text);
            assert_eq!(from_text(text).unwrap(), path(bytes));
            assert_eq!(shown(path(bytes)), for_people);
        }
        for bytes in (0..=255_u8).map(|byte| [b'/', byte, 0xc3, byte]) {
            assert_eq!(from_text(&to_text(path(&bytes))).unwrap(), path(&bytes));
        }
    }

    #[test]
    fn what_is_quoted_otherwise_is_no_path() {
        for text in ["$'", "$'/a", "$'/a\\", "$'\\x'", "$'\\xg0'", "$'\\q'", "$'\\x\u{fc}'"] {
            assert!(from_text(text).is_err(), "{text}");
        }
    }

    #[test]
    fn stands_in_json_as_a_string() {
        #[derive(serde::Serialize, Deserialize)]
        struct Record {
            #[serde(with = "super")]
            path: PathBuf,
            #[serde(default, with = "super::option")]
            mount: Option<PathBuf>,
            #[serde(default, with = "super::list")]
            others: Vec<PathBuf>,
        }
        let record = Record {
            path: path(b"/\xff").to_owned(),
            mount: Some(path(b"/\xfe").to_owned()),
            others: vec!["/a".into(), path(b"/\xfd").to_owned()],
        };
        let json = serde_json::to_string(&record).unwrap();
        assert_eq!(json, r#"{"path":"$'/\\xff'","mount":"$'/\\xfe'","others":["/a","$'/\\xfd'"]}"#);
        let back: Record = serde_json::from_str(&json).unwrap();
        assert_eq!((back.path, back.mount, back.others), (record.path, record.mount, record.others));
        assert_eq!(serde_json::from_str::<Record>(r#"{"path":"/a"}"#).unwrap().mount, None);
        assert!(serde_json::from_str::<Record>(r#"{"path":"$'"}"#).is_err());
    }
}
