//! Who a file belongs to.

use nix::unistd::{Gid, Group, Uid, User};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io;
use std::os::unix::fs::fchown;
use std::str::FromStr;
use thiserror::Error;

/// User and group, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileOwner {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// No owner.
#[derive(Debug, Error)]
pub enum FileOwnerError {
    /// Nobody has that name here.
    #[error(
        "this host knows no user {0:?}; give the name or number of one, as libvirt-qemu:kvm or 64055:64055"
    )]
    NoUser(String),
    /// No group has that name here.
    #[error(
        "this host knows no group {0:?}; give the name or number of one, as libvirt-qemu:kvm or 64055:64055"
    )]
    NoGroup(String),
    /// A number alone has no group.
    #[error("user {0} has no entry on this host, and so no group; give one, as {0}:GROUP")]
    GroupOf(u32),
}

impl FileOwner {
    /// Gives `file` to this owner. Blocks.
    ///
    /// # Errors
    /// What the operating system says: only root may.
    pub fn give(self, file: &File) -> io::Result<()> {
        fchown(file, Some(self.uid), Some(self.gid))
    }
}

/// `USER[:GROUP]`, names or numbers as chown(1) has them; without a group the user's own. Asks the host's databases, and
/// so blocks.
impl FromStr for FileOwner {
    type Err = FileOwnerError;

    fn from_str(text: &str) -> Result<Self, FileOwnerError> {
        let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
        let named = User::from_name(user).ok().flatten();
        let uid = named.as_ref().map(|named| named.uid).or_else(|| user.parse().ok().map(Uid::from_raw));
        let uid = uid.ok_or_else(|| FileOwnerError::NoUser(user.to_owned()))?;
        let gid = match group {
            Some(group) => group_of(group)?,
            None => {
                named
                    .or_else(|| User::from_uid(uid).ok().flatten())
                    .ok_or(FileOwnerError::GroupOf(uid.as_raw()))?
                    .gid
            }
        };
        Ok(Self { uid: uid.as_raw(), gid: gid.as_raw() })
    }
}

fn group_of(text: &str) -> Result<Gid, FileOwnerError> {
    let named = Group::from_name(text).ok().flatten().map(|group| group.gid);
    let gid = named.or_else(|| text.parse().ok().map(Gid::from_raw));
    gid.ok_or_else(|| FileOwnerError::NoGroup(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_as_chown_has_them() {
        let owner = |text: &str| text.parse::<FileOwner>().map_err(|error| error.to_string());
        assert_eq!(owner("root"), Ok(FileOwner { uid: 0, gid: 0 }));
        assert_eq!(owner("0:0"), owner("root:root"));
        assert_eq!(owner("64055:108"), Ok(FileOwner { uid: 64055, gid: 108 }));
        assert!(owner("no-such-user").unwrap_err().contains("no user \"no-such-user\""));
        assert!(owner("root:no-such-group").unwrap_err().contains("no group"));
        assert!(owner("3999999999").unwrap_err().contains("give one, as 3999999999:GROUP"));
        assert!(owner("").unwrap_err().contains("no user"));
    }
}
