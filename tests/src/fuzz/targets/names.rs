//! Names and other words that are parsed once at the edge: what is accepted is written as it was read.

use crate::fuzz::{Reader, Verdict};
use anyhow::ensure;
use bootstash_base::names::{DatasetName, GroupName, Guid, ImageName, NodeName, SnapshotName};
use bootstash_net::api::is_authority;
use bootstash_zfs::ResumeToken;
use std::fmt::Display;
use std::str::FromStr;

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let words = [
        "debian12",
        "tank/bootstash/volume-2",
        "bs-000042-20261121T101530Z",
        "18446744073709551615",
        "c17.example",
        "libvirt-qemu",
        "1-e2a4b-c8-789c63",
        "c17.example:7432",
        "[fd00::1]:80",
    ];
    words.map(|word| word.as_bytes().to_vec()).to_vec()
}

pub(super) fn open() -> Reader {
    Box::new(|word| {
        let Ok(text) = std::str::from_utf8(word) else { return Ok(Verdict::Refused) };
        let read = [
            stays::<ImageName>(text)?,
            stays::<DatasetName>(text)?,
            stays::<SnapshotName>(text)?,
            stays::<Guid>(text)?,
            stays::<NodeName>(text)?,
            stays::<GroupName>(text)?,
            stays::<ResumeToken>(text)?,
            authority(text)?,
        ];
        Ok(if read.contains(&true) { Verdict::Accepted } else { Verdict::Refused })
    })
}

/// What is parsed goes into paths, command lines, logs and metrics.
fn stays<T: FromStr + Display>(text: &str) -> anyhow::Result<bool> {
    let Ok(name) = text.parse::<T>() else { return Ok(false) };
    ensure!(name.to_string() == text, "{text:?} is written {:?}", name.to_string());
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic()) && !text.starts_with(['-', '/']);
    ensure!(plain && !text.split('/').any(|part| matches!(part, "" | "." | "..")), "{text:?} is accepted");
    Ok(true)
}

/// Goes into a URL that others are sent to.
fn authority(text: &str) -> anyhow::Result<bool> {
    if !is_authority(text) {
        return Ok(false);
    }
    let more = |c: char| "/\\@?#%".contains(c) || c.is_whitespace() || c.is_control();
    ensure!(!text.contains(more) && text.contains(':'), "{text:?} is more than host and port");
    Ok(true)
}
