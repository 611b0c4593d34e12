//! Which processes hold a mount, read from `/proc`: for an operator who wants a view to go.
//!
//! Promises: the file systems themselves are not asked, as one of them may hang; the answer comes in time, and names
//! a few of many.

use super::HeldView;
use bootstash_base::blocking::BlockingPool;
use bootstash_base::mount_table::{DeviceNumber, MountTable};
use bootstash_net::api::{self, HeldBy, Holder};
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;
use tokio::time::Instant;

static POOL: LazyLock<BlockingPool> = LazyLock::new(|| BlockingPool::new("holders", 1));
/// Who asks waits for the answer.
const DEADLINE: Duration = Duration::from_millis(1500);
/// Of one view; who ends these asks again.
const MOST_HOLDERS: usize = 8;
/// What of a process can hold a mount, beside its mount namespace and its open files.
const LINKS: [(&str, HeldBy); 3] =
    [("cwd", HeldBy::WorkingDirectory), ("root", HeldBy::Root), ("exe", HeldBy::Program)];

/// Views, each with who holds it; with nobody where that was not found out in time.
pub(crate) async fn of(held: Vec<HeldView>) -> Vec<api::HeldView> {
    let nobody = |view: &HeldView| api::HeldView { dataset: view.dataset.clone(), holders: Vec::new() };
    let unknown: Vec<_> = held.iter().map(nobody).collect();
    if held.is_empty() {
        return unknown;
    }
    let looking = move || Processes::at(Path::new("/proc")).name_holders(&held);
    POOL.run(Instant::now() + DEADLINE, looking).await.unwrap_or(unknown)
}

/// The processes of this host.
struct Processes {
    /// Each with the folder that tells of it.
    all: Vec<(u32, PathBuf)>,
    own_namespace: Option<PathBuf>,
}

impl Processes {
    /// Blocks, as all here.
    fn at(proc: &Path) -> Self {
        let entries = std::fs::read_dir(proc).into_iter().flatten().flatten().map(|entry| entry.path());
        let pid = |path: PathBuf| Some((path.file_name()?.to_str()?.parse().ok()?, path));
        let mut all: Vec<(u32, PathBuf)> = entries.filter_map(pid).collect();
        all.sort();
        Self { all, own_namespace: std::fs::read_link(proc.join("self/ns/mnt")).ok() }
    }

    fn name_holders(&self, held: &[HeldView]) -> Vec<api::HeldView> {
        let others = self.of_other_namespaces();
        let of = |view: &HeldView| {
            let mut devices: BTreeSet<_> = view.device.into_iter().collect();
            let source = view.dataset.as_str();
            let mut holders = Vec::new();
            for (pid, path, table) in &others {
                let mounts = table.mounts().iter().filter(|it| it.source == source).map(|it| it.device);
                let found = devices.len();
                devices.extend(mounts.clone());
                if mounts.count() > 0 || devices.len() > found {
                    holders.push(holder(*pid, path, HeldBy::MountNamespace));
                }
            }
            holders.extend(self.all.iter().filter_map(|(pid, path)| by_a_file(*pid, path, &devices)));
            holders.truncate(MOST_HOLDERS);
            api::HeldView { dataset: view.dataset.clone(), holders }
        };
        held.iter().map(of).collect()
    }

    /// The first process of each mount namespace that is not ours, and what is mounted there.
    fn of_other_namespaces(&self) -> Vec<(u32, &Path, MountTable)> {
        let mut seen: BTreeSet<_> = self.own_namespace.iter().cloned().collect();
        let first = |(pid, path): &'_ (u32, PathBuf)| {
            let namespace = std::fs::read_link(path.join("ns/mnt")).ok()?;
            seen.insert(namespace).then_some(*pid)
        };
        let firsts: BTreeSet<u32> = self.all.iter().filter_map(first).collect();
        let table = |(pid, path): &'_ (u32, PathBuf)| {
            MountTable::read_from(&path.join("mountinfo")).ok().map(|table| (*pid, table))
        };
        let chosen = self.all.iter().filter(|(pid, _)| firsts.contains(pid));
        chosen.filter_map(|it| table(it).map(|(pid, table)| (pid, it.1.as_path(), table))).collect()
    }
}

/// A process that has a file of these devices, and how.
fn by_a_file(pid: u32, path: &Path, devices: &BTreeSet<DeviceNumber>) -> Option<Holder> {
    let is_there = |link: &Path| device(link).is_some_and(|device| devices.contains(&device));
    let link = LINKS.iter().find(|(name, _)| is_there(&path.join(name))).map(|(_, by)| *by);
    let by = link.or_else(|| {
        let mut open = std::fs::read_dir(path.join("fd")).ok()?.flatten();
        open.any(|file| is_there(&file.path())).then_some(HeldBy::OpenFile)
    });
    by.map(|by| holder(pid, path, by))
}

/// The device of what a link of `/proc` leads to, as far as the kernel knows it without asking.
fn device(link: &Path) -> Option<DeviceNumber> {
    let found = statx(CWD, link, AtFlags::STATX_DONT_SYNC, StatxFlags::TYPE).ok()?;
    Some(DeviceNumber { major: found.stx_dev_major, minor: found.stx_dev_minor })
}

fn holder(pid: u32, path: &Path, by: HeldBy) -> Holder {
    let command = std::fs::read(path.join("comm")).unwrap_or_default();
    Holder { pid, command: String::from_utf8_lossy(&command).trim_end().to_owned(), by }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    /// What a folder here is on.
    fn of_a_folder(dir: &Path) -> HeldView {
        let device = Some(DeviceNumber::from_stat(dir.metadata().unwrap().dev()));
        HeldView { dataset: "tank/b/views/bs-000001-20260101T000000Z".parse().unwrap(), device }
    }

    #[test]
    fn a_process_with_something_open_there_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("7");
        std::fs::create_dir_all(own.join("fd")).unwrap();
        std::fs::write(own.join("comm"), "qemu-system-x86\n").unwrap();
        let file = dir.path().join("cache.qcow2");
        std::fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink("/proc/version", own.join("fd/0")).unwrap();
        let processes = || Processes::at(dir.path());
        assert_eq!(processes().name_holders(&[of_a_folder(dir.path())])[0].holders, []);
        std::os::unix::fs::symlink(&file, own.join("fd/1")).unwrap();
        let held = processes().name_holders(&[of_a_folder(dir.path())]);
        let expected = Holder { pid: 7, command: "qemu-system-x86".to_owned(), by: HeldBy::OpenFile };
        assert_eq!(held[0].holders, [expected]);
        std::os::unix::fs::symlink(dir.path(), own.join("cwd")).unwrap();
        let held = processes().name_holders(&[of_a_folder(dir.path())]);
        assert_eq!(held[0].holders[0].by, HeldBy::WorkingDirectory);
    }

    /// As one that was started while the view was mounted, and has unmounted nothing since.
    #[test]
    fn one_process_of_each_namespace_that_still_has_it_mounted_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let view = HeldView { device: None, ..of_a_folder(dir.path()) };
        for (pid, namespace) in [("self", "mnt:[1]"), ("3", "mnt:[1]"), ("8", "mnt:[2]"), ("9", "mnt:[2]")] {
            let path = dir.path().join(pid);
            std::fs::create_dir_all(path.join("ns")).unwrap();
            std::os::unix::fs::symlink(namespace, path.join("ns/mnt")).unwrap();
            std::fs::write(path.join("comm"), "backup\n").unwrap();
            let line = format!("67 43 0:39 / /views/x rw - fuse.zfs {} rw\n", view.dataset);
            std::fs::write(path.join("mountinfo"), line).unwrap();
        }
        let held = Processes::at(dir.path()).name_holders(&[view]);
        let expected = Holder { pid: 8, command: "backup".to_owned(), by: HeldBy::MountNamespace };
        assert_eq!(held[0].holders, [expected]);
    }

    #[tokio::test]
    async fn nothing_held_is_nothing_looked_for() {
        assert_eq!(of(Vec::new()).await, []);
    }
}
