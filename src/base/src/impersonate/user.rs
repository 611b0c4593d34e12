//! A user of this host, in whose place a thread can work on files.

use nix::unistd::{Gid, Uid, getgrouplist, setfsgid, setfsuid};
use std::ffi::CString;
use std::fmt;
use std::io;

/// A user, with all groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    name: Option<String>,
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
}

impl User {
    /// The user of a number, with the groups that the host's database knows: a number without a name has
    /// none but `gid`. Blocks.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(super) fn find(uid: Uid, gid: Gid) -> io::Result<Self> {
        let name = nix::unistd::User::from_uid(uid)?.map(|known| known.name);
        let groups = match &name {
            Some(name) => getgrouplist(&CString::new(name.as_str())?, gid)?,
            None => vec![gid],
        };
        Ok(Self { name, uid, gid, groups })
    }

    /// Does `work` in the user's place, on a thread of its own that ends with it: no other is touched.
    pub(super) fn act<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("as-user".to_owned());
            let acting = thread.spawn_scoped(scope, || self.take_place().map(|()| work()))?;
            acting.join().unwrap_or_else(|_| Err(io::Error::other("the work broke off")))
        })
    }

    /// Only what counts for files changes: who has the same user id for all else could send us signals.
    /// With the user id go the capabilities that overrule files' modes.
    fn take_place(&self) -> io::Result<()> {
        let groups: Vec<_> =
            self.groups.iter().map(|gid| rustix::thread::Gid::from_raw(gid.as_raw())).collect();
        rustix::thread::set_thread_groups(&groups)?;
        setfsgid(self.gid);
        setfsuid(self.uid);
        // Neither tells a failure. Asked for a number that is none, they change nothing and say what holds.
        let none = u32::MAX;
        match (setfsuid(Uid::from_raw(none)), setfsgid(Gid::from_raw(none))) {
            (uid, gid) if uid == self.uid && gid == self.gid => Ok(()),
            _ => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "user {name}"),
            None => write!(f, "user {}", self.uid),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ActAs, UnixPeer};
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::path::Path;

    const NOBODY: u32 = 65534;

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    /// Only root can take another's place.
    fn nobody() -> Option<ActAs> {
        nix::unistd::geteuid().is_root().then(|| UnixPeer::numbered(NOBODY, NOBODY).act_as().unwrap())
    }

    #[test]
    fn a_user_does_what_that_user_may_and_no_more() {
        let Some(nobody) = nobody() else { return };
        let dir = tempfile::tempdir().unwrap();
        mode(dir.path(), 0o755);
        let (secret, open) = (dir.path().join("secret"), dir.path().join("open"));
        fs::write(&secret, "x").unwrap();
        mode(&secret, 0o600);
        fs::create_dir(&open).unwrap();
        mode(&open, 0o777);
        let denied = |result: io::Result<()>| result.unwrap_err().kind() == io::ErrorKind::PermissionDenied;
        nobody
            .act(|| {
                assert!(denied(fs::read(&secret).map(drop)));
                assert!(denied(fs::write(dir.path().join("new"), "x")));
                assert!(denied(fs::remove_file(&secret)));
                fs::write(open.join("mine"), "x").unwrap();
            })
            .unwrap();
        let made = fs::metadata(open.join("mine")).unwrap();
        assert_eq!((made.uid(), made.gid()), (NOBODY, NOBODY));
        assert_eq!(fs::read(&secret).unwrap(), b"x", "we still may");
    }

    #[test]
    fn groups_of_a_user_count_and_ours_do_not() {
        let Some(nobody) = nobody() else { return };
        let dir = tempfile::tempdir().unwrap();
        mode(dir.path(), 0o070);
        let look = || fs::read_dir(dir.path()).map(drop);
        assert!(nobody.act(look).unwrap().is_err(), "our group, root, is not the user's");
        let ActAs::Of(mut user) = nobody else { unreachable!() };
        user.groups = vec![Gid::from_raw(NOBODY), Gid::from_raw(0)];
        user.act(look).unwrap().unwrap();
    }

    #[test]
    fn work_that_breaks_off_is_told() {
        let Some(nobody) = nobody() else { return };
        assert!(nobody.act(|| panic!("planned")).is_err());
    }

    #[test]
    fn who_runs_us_acts_as_we_do() {
        assert_eq!(UnixPeer::ourselves().act_as().unwrap(), ActAs::Ours);
        assert_eq!(UnixPeer::numbered(0, 0).act_as().unwrap(), ActAs::Ours);
        assert!(!UnixPeer::numbered(NOBODY - 1, NOBODY).owns_us());
    }

    #[test]
    fn a_user_without_a_name_is_told_by_number() {
        let user = User {
            name: None,
            uid: Uid::from_raw(7),
            gid: Gid::from_raw(8),
            groups: vec![8.into(), 9.into()],
        };
        assert_eq!(user.to_string(), "user 7");
    }
}
