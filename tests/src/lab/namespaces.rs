//! The namespaces a process of the lab runs in.
//!
//! Namespaces belong to a thread: a thread of its own enters (or makes) them and starts the program
//! there, so that the program is our direct child and its number is the one we see.

use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::Pid;
use std::fs::File;
use std::io;
use std::process::{Child, Command};
use std::thread::JoinHandle;

/// Where a program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespaces {
    /// Where we are.
    Here,
    /// In new mount, network, process and host name namespaces, as their first process.
    New,
    /// In all namespaces of the host whose first process this is.
    Host(Pid),
    /// In the network of that host, and else where we are.
    NetworkOf(Pid),
}

impl Namespaces {
    /// Starts `command` there.
    pub(super) fn spawn(self, command: &mut Command) -> io::Result<Child> {
        if self == Self::Here {
            return command.spawn();
        }
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter()?;
                command.spawn()
            });
            thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that starts programs died")))
        })
    }

    /// Starts a thread there, which does this and ends.
    pub(super) fn thread<T: Send + 'static>(
        self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> JoinHandle<io::Result<T>> {
        std::thread::spawn(move || {
            self.enter()?;
            work()
        })
    }

    /// Moves the calling thread there; it must not be used for anything else afterwards.
    fn enter(self) -> io::Result<()> {
        match self {
            Self::Here => Ok(()),
            Self::New => Ok(unshare(CloneFlags::CLONE_FS | all())?),
            Self::Host(init) => join(init, &["net", "uts", "pid", "mnt"]),
            Self::NetworkOf(init) => join(init, &["net"]),
        }
    }
}

fn all() -> CloneFlags {
    CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWUTS
}

fn join(init: Pid, kinds: &[&str]) -> io::Result<()> {
    // All are opened first: behind another mount namespace, /proc is another.
    let files: Vec<File> =
        kinds.iter().map(|kind| File::open(format!("/proc/{init}/ns/{kind}"))).collect::<Result<_, _>>()?;
    // A thread can change its mount namespace only if it shares root and working directory with no other.
    unshare(CloneFlags::CLONE_FS)?;
    for file in files {
        setns(file, CloneFlags::empty())?;
    }
    Ok(())
}
