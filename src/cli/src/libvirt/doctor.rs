//! `bootstash doctor libvirt`: which disks start from a boot cache, and why others do not.
//!
//! Promises: it changes nothing, and asks libvirt for nothing: it reads what libvirt keeps of its domains, the headers of
//! their disks, and what the agent says.

use super::OFF;
use super::arguments::DoctorLibvirtArgs;
use super::disk_file::{Backing, DiskFile, Lowest};
use super::domain::{Disk, Domain, Unfit};
use crate::daemons::{Daemon, Daemons};
use crate::failure::CommandError;
use crate::render::{Column, guest_text, table};
use crate::{images, output};
use bootstash_base::blocking::BlockingPool;
use bootstash_base::error::Chain;
use bootstash_base::names::ImageName;
use bootstash_base::quoted_path::shown;
use bootstash_net::api::{AgentStatus, ChangedBase, ImageView, ImagesQuery, OverlayStatus, routes};
use bootstash_qemu::InUse;
use serde::Serialize;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// From the directory of domains.
const HOOK: &str = "../hooks/qemu.d/50-bootstash";
/// How long the storage of a disk may take.
const LOOK: Duration = Duration::from_secs(5);

/// What a disk starts from the next time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum StartsFrom {
    /// The boot cache of its image.
    Cache,
    /// Its image, though that could be otherwise.
    Image,
    /// It is on no image that is chained onto.
    Neither,
}

/// What is found out about a disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    domain: String,
    disk: String,
    starts_from: StartsFrom,
    why: String,
}

/// What counts for all disks of this host.
#[derive(Debug, Default)]
struct Host {
    images: Vec<ImageView>,
    overlays: Vec<OverlayStatus>,
    changed: Vec<ChangedBase>,
    /// Why the hook does nothing here.
    no_hook: Option<String>,
}

/// Prints what is found out; fails where a disk does not start from a boot cache.
pub(crate) async fn examine(daemons: &Daemons, args: DoctorLibvirtArgs) -> Result<(), CommandError> {
    let mut host = Host::ask(daemons).await?;
    host.no_hook = no_hook(&args.domain_dir.join(HOOK), Path::new(OFF));
    let mut findings = Vec::new();
    for domain in read_domains(&args.domain_dir)? {
        findings.extend(host.examine(&domain).await);
    }
    if args.json {
        output::json(&findings)?
    } else {
        output::line(&text(&findings))?
    }
    let disks = findings.len();
    match findings.iter().filter(|finding| finding.starts_from != StartsFrom::Cache).count() {
        0 => Ok(()),
        from_image => Err(CommandError::FromImage { from_image, disks }),
    }
}

fn text(findings: &[Finding]) -> String {
    if findings.is_empty() {
        return "libvirt has no domains with disks here".to_owned();
    }
    let columns = ["DOMAIN", "DISK", "STARTS FROM", "WHY"].map(Column::Left);
    let row = |finding: &Finding| {
        let starts_from = match finding.starts_from {
            StartsFrom::Cache => "cache",
            StartsFrom::Image => "image",
            StartsFrom::Neither => "-",
        };
        vec![
            guest_text(&finding.domain),
            guest_text(&finding.disk),
            starts_from.to_owned(),
            finding.why.clone(),
        ]
    };
    table(&columns, findings.iter().map(row).collect())
}

/// The domains that libvirt keeps in `directory`, in order of their files' names.
fn read_domains(directory: &Path) -> Result<Vec<Domain>, CommandError> {
    let unread = |path: &Path, source: Box<dyn std::error::Error + Send + Sync>| CommandError::Domain {
        path: path.to_owned(),
        source,
    };
    let mut files = xml_files(directory).map_err(|error| unread(directory, error.into()))?;
    files.sort();
    let read = |path: &PathBuf| {
        let xml = std::fs::read_to_string(path).map_err(|error| unread(path, error.into()))?;
        Domain::parse(&xml).map_err(|error| unread(path, error.into()))
    };
    files.iter().map(read).collect()
}

fn xml_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let paths: io::Result<Vec<PathBuf>> =
        directory.read_dir()?.map(|entry| entry.map(|entry| entry.path())).collect();
    Ok(paths?.into_iter().filter(|path| path.extension().is_some_and(|end| end == "xml")).collect())
}

fn no_hook(hook: &Path, off: &Path) -> Option<String> {
    let is_there = hook.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0);
    if off.exists() {
        Some(format!("{} turns the hook off", off.display()))
    } else if !is_there {
        let hook = std::path::absolute(hook).unwrap_or_else(|_| hook.to_owned());
        Some(format!("there is no hook {} that can be run", hook.display()))
    } else {
        None
    }
}

impl Host {
    async fn ask(daemons: &Daemons) -> Result<Self, CommandError> {
        let agent = daemons.need(Daemon::Agent)?;
        let everything = ImagesQuery { pattern: None, after: None, limit: None };
        let images = images::all_pages(&agent, everything).await?;
        let overlays = agent.get(routes::OVERLAYS, &()).await?;
        let status: AgentStatus = agent.get(routes::STATUS, &()).await?;
        Ok(Self { images, overlays, changed: status.changed_bases, no_hook: None })
    }

    async fn examine(&self, domain: &Domain) -> Vec<Finding> {
        let (mut findings, mut image) = (Vec::new(), domain.image.as_ref());
        for disk in &domain.disks {
            let file = look(disk).await;
            let (starts_from, why) = self.judge(domain, disk, file, &mut image);
            let (domain, disk) = (domain.name.clone(), disk.target.clone());
            findings.push(Finding { domain, disk, starts_from, why });
        }
        findings
    }

    /// What a disk starts from, and why; `image` is what the first missing disk is made of.
    fn judge(
        &self,
        domain: &Domain,
        disk: &Disk,
        file: Result<DiskFile, String>,
        image: &mut Option<&ImageName>,
    ) -> (StartsFrom, String) {
        let file = match (&disk.unfit, file) {
            (Some(unfit), _) => return (StartsFrom::Neither, unfit.to_string()),
            (None, Err(why)) => return (StartsFrom::Neither, why),
            (None, Ok(file)) => file,
        };
        let turned_off = || domain.turned_off.then(|| "its metadata turn the hook off".to_owned());
        let off = self.no_hook.clone().or_else(turned_off);
        match (file, image.take_if(|_| off.is_none())) {
            (DiskFile::Alone(_), named) => {
                *image = named;
                (StartsFrom::Neither, "it is chained onto nothing".to_owned())
            }
            (DiskFile::Absent, None) => (StartsFrom::Neither, "its file does not exist".to_owned()),
            (DiskFile::Absent, Some(named)) => self.judge_new(named),
            (DiskFile::Chained(lowest), named) => {
                *image = named;
                self.judge_overlay(&lowest, off)
            }
        }
    }

    fn judge_new(&self, image: &ImageName) -> (StartsFrom, String) {
        match self.images.iter().any(|view| view.manifest.name == *image) {
            true => (StartsFrom::Cache, format!("it will be made, of {image}")),
            false => (StartsFrom::Neither, format!("it is to be made of {image}, which is not registered")),
        }
    }

    fn judge_overlay(&self, lowest: &Lowest, off: Option<String>) -> (StartsFrom, String) {
        let held = |overlay: &&OverlayStatus| overlay.overlay.path == lowest.path;
        let held = self.overlays.iter().find(held).filter(|held| lowest.backing.is(&held.overlay.cache));
        if let Some(held) = held {
            return (StartsFrom::Cache, format!("it is chained onto that of {}", held.overlay.image));
        }
        match (off, self.image_below(&lowest.backing), lowest.in_use) {
            _ if !lowest.is_as_described => (StartsFrom::Image, Unfit::BackingStore.to_string()),
            (Some(off), ..) => (StartsFrom::Image, off),
            (_, Err(why), _) => (StartsFrom::Image, why),
            (.., InUse::Yes) => {
                (StartsFrom::Image, "a QEMU has it open: not before it is stopped".to_owned())
            }
            (.., InUse::Unknown) => (
                StartsFrom::Image,
                "its storage has no byte-range locks: whether a QEMU has it open cannot be told".to_owned(),
            ),
            (_, Ok(image), InUse::No) => {
                (StartsFrom::Cache, format!("the hook will chain it onto that of {image}"))
            }
        }
    }

    /// The image whose boot cache an overlay on this gets, or why it gets none.
    fn image_below(&self, backing: &Backing) -> Result<&ImageName, String> {
        let base = match backing {
            Backing::Cache { image, snapshot, .. } => {
                let same = |view: &&ImageView| {
                    view.manifest.name == *image && view.manifest.registered <= snapshot.taken()
                };
                let found = self.images.iter().find(same).map(|view| &view.manifest.name);
                return found.ok_or_else(|| {
                    format!("its boot cache is not here, and {image} was registered anew since, or is gone")
                });
            }
            Backing::Base(base) => base,
        };
        if let Some(changed) = self.changed.iter().find(|changed| changed.path == *base) {
            return Err(format!("{} was changed since ({})", shown(base), guest_text(&changed.change)));
        }
        let found = self.images.iter().find(|view| view.manifest.source.path == *base);
        let none = || format!("{} is the file of no image that this node has", shown(base));
        found.map(|view| &view.manifest.name).ok_or_else(none)
    }
}

async fn look(disk: &Disk) -> Result<DiskFile, String> {
    let Some(path) = disk.file.clone() else { return Err("it is no file".to_owned()) };
    let described = disk.described.clone();
    let look = move || DiskFile::look(&path, &described);
    match BlockingPool::new("doctor", 1).run(Instant::now() + LOOK, look).await {
        Ok(found) => found.map_err(|error| format!("its file cannot be read: {error}")),
        Err(error) => Err(format!("its storage: {}", Chain(&error))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{CACHE, lowest, on_base, on_cache, pinned};
    use super::*;
    use crate::stub;
    use chrono::DateTime;

    fn host() -> Host {
        Host { images: vec![stub::image("alpine", DateTime::UNIX_EPOCH)], ..Host::default() }
    }

    fn domain() -> Domain {
        Domain { name: "vm".to_owned(), turned_off: false, image: None, disks: Vec::new() }
    }

    fn disk(unfit: Option<Unfit>) -> Disk {
        Disk { target: "vda".to_owned(), file: Some("/vms/a.qcow2".into()), described: Vec::new(), unfit }
    }

    fn judged(host: &Host, file: DiskFile) -> (StartsFrom, String) {
        host.judge(&domain(), &disk(None), Ok(file), &mut None)
    }

    fn chained(backing: Backing, in_use: InUse) -> DiskFile {
        DiskFile::Chained(lowest(backing, in_use))
    }

    #[test]
    fn each_reason_is_told() {
        let (on, no) = (|backing| chained(backing, InUse::No), StartsFrom::Neither);
        let other = Backing::Base("/srv/b.raw".into());
        let replaced = Host { images: vec![stub::image("alpine", chrono::Utc::now())], ..Host::default() };
        let off = Host { no_hook: Some("OFF turns the hook off".to_owned()), ..host() };
        let held = Host { overlays: vec![pinned(false)], ..off_host() };
        for (host, file, from, why) in [
            (&host(), on(on_base()), StartsFrom::Cache, "the hook will chain it onto that of alpine"),
            (&host(), on(on_cache(CACHE)), StartsFrom::Cache, "the hook will chain it onto that of alpine"),
            (&held, on(on_cache(CACHE)), StartsFrom::Cache, "it is chained onto that of alpine"),
            (&replaced, on(on_cache(CACHE)), StartsFrom::Image, "registered anew since"),
            (&host(), on(other), StartsFrom::Image, "/srv/b.raw is the file of no image"),
            (&host(), chained(on_base(), InUse::Yes), StartsFrom::Image, "a QEMU has it open"),
            (&host(), chained(on_base(), InUse::Unknown), StartsFrom::Image, "no byte-range locks"),
            (&off, on(on_base()), StartsFrom::Image, "OFF turns the hook off"),
            (&changed(), on(on_base()), StartsFrom::Image, "/srv/a.raw was changed since (its size)"),
            (&host(), DiskFile::Alone("/a".into()), no, "chained onto nothing"),
            (&host(), DiskFile::Absent, no, "does not exist"),
        ] {
            let found = judged(host, file);
            assert!(found.0 == from && found.1.contains(why), "{found:?}, not {why}");
        }
    }

    fn off_host() -> Host {
        Host { no_hook: Some("OFF turns the hook off".to_owned()), ..host() }
    }

    fn changed() -> Host {
        let changed = ChangedBase {
            path: "/srv/a.raw".into(),
            image: "alpine".parse().unwrap(),
            snapshot: stub::snapshot(42),
            change: "its size".to_owned(),
            overlays: Vec::new(),
        };
        Host { changed: vec![changed], ..host() }
    }

    #[test]
    fn what_the_xml_says_counts_first_and_one_missing_disk_is_made() {
        let unfit = host().judge(&domain(), &disk(Some(Unfit::ReadOnly)), Ok(DiskFile::Absent), &mut None);
        assert_eq!(unfit, (StartsFrom::Neither, "it is <readonly/>".to_owned()));
        let off = Domain { turned_off: true, ..domain() };
        let (from, why) = host().judge(&off, &disk(None), Ok(chained(on_base(), InUse::No)), &mut None);
        assert_eq!((from, why.as_str()), (StartsFrom::Image, "its metadata turn the hook off"));
        let alpine = "alpine".parse().unwrap();
        let mut image = Some(&alpine);
        let mut missing = || host().judge(&domain(), &disk(None), Ok(DiskFile::Absent), &mut image);
        assert_eq!(missing(), (StartsFrom::Cache, "it will be made, of alpine".to_owned()));
        assert_eq!(missing().0, StartsFrom::Neither);
    }

    #[test]
    fn it_is_a_table_of_disks() {
        let of = |starts_from, why: &str| Finding {
            domain: "web".to_owned(),
            disk: "vda".to_owned(),
            starts_from,
            why: why.to_owned(),
        };
        assert_eq!(
            text(&[of(StartsFrom::Cache, "because"), of(StartsFrom::Neither, "it is no file")]),
            "DOMAIN  DISK  STARTS FROM  WHY\n\
             web     vda   cache        because\n\
             web     vda   -            it is no file"
        );
        assert_eq!(text(&[]), "libvirt has no domains with disks here");
    }

    #[test]
    fn a_hook_that_cannot_be_run_is_none_and_domains_are_read_from_files() {
        let dir = tempfile::tempdir().unwrap();
        let (hook, off) = (dir.path().join("50-bootstash"), dir.path().join("off"));
        assert!(no_hook(&hook, &off).unwrap().contains("there is no hook"));
        std::fs::write(&hook, "#!/bin/sh\n").unwrap();
        assert!(no_hook(&hook, &off).is_some());
        std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(no_hook(&hook, &off), None);
        std::fs::write(&off, "").unwrap();
        assert!(no_hook(&hook, &off).unwrap().contains("turns the hook off"));
        for name in ["b", "a"] {
            let xml = format!("<domain><name>{name}</name></domain>");
            std::fs::write(dir.path().join(format!("{name}.xml")), xml).unwrap();
        }
        let names: Vec<_> = read_domains(dir.path()).unwrap().into_iter().map(|domain| domain.name).collect();
        assert_eq!(names, ["a", "b"]);
        std::fs::write(dir.path().join("c.xml"), "<domain").unwrap();
        assert!(read_domains(dir.path()).unwrap_err().to_string().ends_with("c.xml"));
    }
}
