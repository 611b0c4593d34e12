//! What must be there after a restart, and that nothing else is.

use super::testbed::Testbed;
use anyhow::{Context, Result, ensure};
use bootstash_delta::catalog::{CACHE_FILE, MANIFEST_FILE};
use nix::unistd::Pid;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// What is on its way out is gone by then.
const LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(100);

impl Testbed {
    /// Nothing is left over: on disk, in ZFS, among processes.
    pub(super) async fn no_leftovers(&self) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let left = self.leftovers().await?;
            if left.is_empty() {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "left over or missing: {left:#?}");
            sleep(POLL).await;
        }
    }

    async fn leftovers(&self) -> Result<Vec<String>> {
        let mut left = Vec::new();
        let mut compare = |what: &str, there: BTreeSet<String>, wanted: BTreeSet<String>| {
            left.extend(there.difference(&wanted).map(|name| format!("{what}: {name} is left over")));
            left.extend(wanted.difference(&there).map(|name| format!("{what}: {name} is missing")));
        };
        compare("data sets", self.datasets()?, self.wanted_datasets().await?);
        compare("registrar", names(&self.dir.join("registrar"))?, set(self.registrar_files()));
        compare("registrar/work", names(&self.dir.join("registrar/work"))?, set([]));
        let jobs = self.jobs().await?;
        let records = jobs.iter().map(|job| format!("{}.json", job.id));
        compare("registrar/jobs", names(&self.dir.join("registrar/jobs"))?, records.collect());
        let unended = jobs.iter().filter(|job| job.outcome.is_none());
        compare("jobs under way", unended.map(|job| job.name.to_string()).collect(), set([]));
        let (log, mut deltas) = (self.log().await?, names(&self.dir.join("registrar/deltas"))?);
        // Made on demand, and announced to who asked.
        let full = bootstash_delta::file_name(None, log.snapshots.last().context("no snapshot")?.guid);
        let mut listed: BTreeSet<_> = log.deltas.iter().map(|delta| delta.file.clone()).collect();
        deltas.remove(&full);
        listed.remove(&full);
        compare("registrar/deltas", deltas, listed);
        let snapshots = self.guids(&self.dataset("registrar/volume")?).await?;
        let announced = log.snapshots.iter().map(|snapshot| snapshot.guid.to_string());
        compare("snapshots", snapshots.iter().map(ToString::to_string).collect(), announced.collect());
        let images: BTreeSet<String> = self.images.iter().map(|image| image.name.clone()).collect();
        compare("images in the head", names(&self.head().join("images"))?, images.clone());
        for image in &images {
            let files = names(&self.head().join("images").join(image)).unwrap_or_default();
            compare(image, files, set([CACHE_FILE, MANIFEST_FILE].map(str::to_owned)));
        }
        let known = self.registered().await?.into_iter().map(|image| image.manifest.name.to_string());
        compare("images", known.collect(), images);
        compare("agent", names(&self.dir.join("agent"))?, set(agent_files()));
        compare("agent/fetch", names(&self.dir.join("agent/fetch"))?, set([]));
        compare("agent/unknown", names(&self.dir.join("agent/unknown"))?, set([]));
        let overlays = self.overlays().await?;
        let records = overlays.iter().map(|overlay| record_name(&overlay.path));
        compare("agent/overlays", names(&self.dir.join("agent/overlays"))?, records.collect());
        let live = self.live.as_ref().map(|live| live.overlay.path.display().to_string());
        let paths = overlays.iter().map(|overlay| overlay.path.display().to_string());
        compare("overlays", paths.collect(), set(live.clone()));
        let files = names(&self.dir.join("vms"))?.into_iter();
        let files = files.map(|file| self.dir.join("vms").join(file).display().to_string());
        compare("overlay files", files.collect(), set(live));
        let views: BTreeSet<_> = overlays.iter().map(|overlay| overlay.snapshot.to_string()).collect();
        compare("views", names(&self.dir.join("views"))?, views);
        let guests = guests(&self.dir)?.into_values();
        compare("guests", guests.collect(), set([]));
        Ok(left)
    }

    fn datasets(&self) -> Result<BTreeSet<String>> {
        let listed = self.zfs_command(&["list", "-H", "-o", "name", "-r", self.root.as_str()])?;
        Ok(listed.lines().map(str::to_owned).collect())
    }

    /// A volume that was replaced is wanted as long as a view stands on it.
    async fn wanted_datasets(&self) -> Result<BTreeSet<String>> {
        let mut wanted = vec![self.root.to_string()];
        for name in ["registrar", "registrar/volume", "node1", "node1/views"] {
            wanted.push(self.dataset(name)?.to_string());
        }
        wanted.push(self.node_volume().await?.to_string());
        for overlay in self.overlays().await? {
            let view = self.dataset(&format!("node1/views/{}", overlay.snapshot))?;
            let origin = self.zfs_command(&["get", "-H", "-o", "value", "origin", view.as_str()])?;
            let (volume, _) = origin.split_once('@').context("a view without an origin")?;
            wanted.extend([view.to_string(), volume.to_owned()]);
        }
        Ok(wanted.into_iter().collect())
    }

    fn registrar_files(&self) -> Vec<String> {
        let collected = self.dir.join("registrar/collected.json").exists().then_some("collected.json");
        let always = ["deltas", "identity", "jobs", "nodes.json", "registrar.lock", "volume", "work"];
        always.into_iter().chain(collected).map(str::to_owned).collect()
    }
}

fn agent_files() -> [String; 5] {
    ["agent.lock", "fetch", "identity", "overlays", "unknown"].map(str::to_owned)
}

fn set(names: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    names.into_iter().collect()
}

fn names(dir: &Path) -> Result<BTreeSet<String>> {
    let entries = std::fs::read_dir(dir).with_context(|| dir.display().to_string())?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// As the agent names them.
fn record_name(overlay: &Path) -> String {
    let hash = blake3::hash(overlay.as_os_str().as_encoded_bytes()).to_hex();
    format!("{}.json", &hash[..32])
}

/// Processes of QEMU that work below `dir`, or have something of it in their command lines.
pub(super) fn guests(dir: &Path) -> Result<BTreeMap<Pid, String>> {
    let dir = dir.display().to_string();
    let mut found = BTreeMap::new();
    for process in std::fs::read_dir("/proc")? {
        let process = process?;
        let Ok(pid) = process.file_name().to_string_lossy().parse() else { continue };
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let works_in = std::fs::read_link(process.path().join("cwd")).unwrap_or_default();
        if line.contains("qemu-")
            && (line.contains(&dir) || works_in.starts_with(&dir))
            && !line.contains("bootstash-")
        {
            found.insert(Pid::from_raw(pid), line);
        }
    }
    Ok(found)
}
