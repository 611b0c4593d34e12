//! Stand-ins for `zfs` and `qemu-img` that do what those do, and die, or have the daemon of zfs-fuse die,
//! where a plan says.

use anyhow::Result;
use std::fmt;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// When in the life of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Before it has done anything.
    Before,
    /// With some of a stream through, else as soon as it has started.
    Amid,
    /// When all is done, and nobody was told.
    After,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Before => "before",
            Self::Amid => "amid",
            Self::After => "after",
        })
    }
}

/// Which process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KillTarget {
    /// The program that was called.
    Program,
    /// The daemon of zfs-fuse.
    ZfsFuse,
}

impl fmt::Display for KillTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Program => "zfs",
            Self::ZfsFuse => "zfs-fuse",
        })
    }
}

/// The folder of the stand-ins.
#[derive(Debug)]
pub(super) struct Tools {
    /// Where they lie; it comes first in a daemon's PATH.
    pub(super) dir: PathBuf,
}

/// PLAN: a line `word moment target`; the first call that has the word among its arguments takes it.
const SCRIPT: &str = r#"#!/bin/sh
real=@REAL@; plan=@PLAN@; pipe=@PLAN@.$$
word=; if [ -e "$plan" ]; then read -r word moment target <"$plan"; fi
if [ -z "$word" ]; then exec "$real" "$@"; fi
case " $* " in *" $word "*) ;; *) exec "$real" "$@" ;; esac
mv "$plan" "$plan.reached" || exec "$real" "$@"
kill_it() {
  if [ "$target" = zfs-fuse ]; then kill -9 "$(cut -d' ' -f1 @PID@)"; return; fi
  if [ -n "$child" ]; then kill -9 "$child"; fi
  rm -f "$pipe"
  kill -9 $$
}
child=
case "$moment $word" in
  before*) kill_it; exec "$real" "$@" ;;
  "amid receive")
    mkfifo "$pipe"; "$real" "$@" <"$pipe" & child=$!
    exec 3>"$pipe"; head -c 200000 >&3; kill_it; cat >&3; exec 3>&- ;;
  "amid send")
    mkfifo "$pipe"; "$real" "$@" >"$pipe" & child=$!
    exec 3<"$pipe"; head -c 200000 <&3; kill_it; cat <&3 ;;
  amid*) "$real" "$@" & child=$!; kill_it ;;
  after*) "$real" "$@"; status=$?; kill_it; exit $status ;;
esac
wait $child; status=$?; rm -f "$pipe"; exit $status
"#;

impl Tools {
    /// Makes them in `dir`; `zfs_dir` is where the host's ZFS lives.
    pub(super) fn make(dir: &Path, zfs_dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        for (name, real) in [("zfs", "/usr/sbin/zfs"), ("qemu-img", "/usr/bin/qemu-img")] {
            let path = dir.join(name);
            let text = SCRIPT
                .replace("@REAL@", real)
                .replace("@PLAN@", &dir.join(format!("{name}.plan")).display().to_string())
                .replace("@PID@", &zfs_dir.join("pid").display().to_string());
            std::fs::write(&path, text)?;
            std::fs::set_permissions(&path, Permissions::from_mode(0o755))?;
        }
        Ok(Self { dir: dir.to_owned() })
    }

    /// Has the next call of `program` with this word among its arguments end so.
    pub(super) fn plan(&self, program: &str, word: &str, moment: Moment, target: KillTarget) -> Result<()> {
        let _ = std::fs::remove_file(self.reached(program));
        let new = self.dir.join("new");
        std::fs::write(&new, format!("{word} {moment} {target}\n"))?;
        Ok(std::fs::rename(new, self.dir.join(format!("{program}.plan")))?)
    }

    /// Whether the plan for `program` was carried out.
    pub(super) fn was_killed(&self, program: &str) -> bool {
        self.reached(program).exists()
    }

    /// What the plan becomes once it is carried out.
    pub(super) fn reached(&self, program: &str) -> PathBuf {
        self.dir.join(format!("{program}.plan.reached"))
    }
}
