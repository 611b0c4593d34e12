//! A registrar and a node as processes, over one real ZFS, with a VM's overlay that outlives everything.

use super::daemon::Daemon;
use super::image::Image;
use super::tools::Tools;
use crate::address::free_address;
use crate::enrolment;
use crate::lab::run::Call;
use anyhow::{Context, Result, bail, ensure};
use bootstash_base::names::{DatasetName, Guid};
use bootstash_delta::VolumeLog;
use bootstash_delta::catalog;
use bootstash_disk::ImageFormat;
use bootstash_net::api::{
    AgentState, AgentStatus, DeregisterQuery, DeregisterReply, GcQuery, GcReport, ImageView, JobOutcome,
    JobView, NodeView, OverlayQuery, OverlayRequest, OverlayView, RegisterReply, RegisterRequest, routes,
};
use bootstash_zfs::{CommandZfs, NewDataset, Programs, Role, Zfs};
use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

const LIMIT: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(30);

/// The daemon that is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Victim {
    Registrar,
    Agent,
}

/// Both daemons, their files, and the VM that runs all the while.
pub(super) struct Testbed {
    pub(super) zfs: CommandZfs,
    pub(super) root: DatasetName,
    pub(super) dir: PathBuf,
    /// Where the host's ZFS lives.
    pub(super) zfs_dir: PathBuf,
    pub(super) tools: Tools,
    pub(super) registrar: Daemon,
    pub(super) agent: Daemon,
    /// The disk of a VM that runs all the time, and what it has open.
    pub(super) live: Option<Live>,
    /// What is registered.
    pub(super) images: Vec<Image>,
    /// The daemon of zfs-fuse that was started anew.
    pub(super) zfs_fuse: Option<Child>,
    made: u32,
    listen: SocketAddr,
    _sockets: TempDir,
}

/// An overlay in use.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) overlay: OverlayView,
    image: Image,
    open: File,
}

impl Testbed {
    /// Starts both, registers two images, and makes an overlay of the first before the second comes.
    pub(super) async fn start(root: DatasetName, dir: &Path, zfs_dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let zfs = CommandZfs::open(&Programs::find()?, root.pool()).await?;
        let new = NewDataset { role: Role::Root, mountpoint: None, properties: Vec::new() };
        zfs.create(&root, &new).await?;
        let (sockets, tools) = (tempfile::tempdir()?, Tools::make(&dir.join("tools"), zfs_dir)?);
        let listen = free_address()?;
        let socket = |name: &str| sockets.path().join(name);
        let registrar = registrar_config(&root, dir, &socket("registrar"), listen);
        let agent = agent_config(&root, dir, &socket("agent"), listen)?;
        let daemon =
            |program, config: &str, name| Daemon::new(program, config, socket(name), dir, &tools.dir);
        enrolment::init(&dir.join("registrar"))?;
        enrolment::enrol(&dir.join("registrar"), &dir.join("agent"), "node1")?;
        let mut testbed = Self {
            zfs,
            registrar: daemon("bootstash-registrar", &registrar, "registrar")?,
            agent: daemon("bootstash-agent", &agent, "agent")?,
            root,
            dir: dir.to_owned(),
            zfs_dir: zfs_dir.to_owned(),
            tools,
            live: None,
            images: Vec::new(),
            zfs_fuse: None,
            made: 0,
            listen,
            _sockets: sockets,
        };
        match testbed.begin().await {
            Ok(()) => Ok(testbed),
            Err(error) => bail!("{error:?}\n{}", testbed.end_of_logs()),
        }
    }

    async fn begin(&mut self) -> Result<()> {
        self.start_daemon(Victim::Registrar).await?;
        let first = self.register_new().await?;
        self.start_daemon(Victim::Agent).await?;
        self.in_step().await?;
        let overlay = self.overlay(&first.name, "live").await?;
        self.live = Some(Live { open: File::open(&overlay.cache)?, overlay, image: first });
        self.register_new().await?;
        self.in_step().await
    }

    pub(super) fn daemon(&mut self, victim: Victim) -> &mut Daemon {
        match victim {
            Victim::Registrar => &mut self.registrar,
            Victim::Agent => &mut self.agent,
        }
    }

    /// Starts one, and waits until it answers.
    pub(super) async fn start_daemon(&mut self, victim: Victim) -> Result<()> {
        self.daemon(victim).spawn()?;
        let client = self.daemon(victim).client()?;
        let answers = timeout(LIMIT, async {
            while client.get::<serde_json::Value>(routes::STATUS, &()).await.is_err() {
                ensure!(self.daemon(victim).is_running(), "it ended at its start");
                sleep(POLL).await;
            }
            Ok(())
        });
        answers.await.with_context(|| format!("the {victim:?} does not answer"))?
    }

    /// An image nobody knows yet.
    pub(super) fn new_image(&mut self) -> Result<Image> {
        self.made += 1;
        Image::make(&self.dir, &format!("image{}", self.made))
    }

    /// Asks for a registration, and follows it to its end.
    pub(super) async fn register(&self, image: &Image) -> Result<JobOutcome> {
        let request = RegisterRequest {
            format: Some(ImageFormat::Raw),
            cache: Some(image.cache.clone()),
            ..RegisterRequest::new(&image.name, &image.base)
        };
        self.follow(&request).await
    }

    /// The same, of anything.
    pub(super) async fn follow(&self, request: &RegisterRequest) -> Result<JobOutcome> {
        let client = self.registrar.client()?;
        let RegisterReply::Started { job } = client.post(routes::IMAGES, request).await? else {
            bail!("{} was registered", request.name);
        };
        let route = routes::JOB.replace("{id}", &job.to_string());
        self.until("the registration ends", async || Ok(client.get::<JobView>(&route, &()).await?.outcome))
            .await
    }

    /// One more image, registered.
    pub(super) async fn register_new(&mut self) -> Result<Image> {
        let image = self.new_image()?;
        match self.register(&image).await? {
            JobOutcome::Registered { .. } => self.images.push(image.clone()),
            failed @ (JobOutcome::Failed { .. } | JobOutcome::Cancelled { .. }) => {
                bail!("{}: {failed:?}", image.name)
            }
        }
        Ok(image)
    }

    pub(super) async fn deregister(&self, name: &str, publish: bool) -> Result<DeregisterReply> {
        let route = routes::IMAGE.replace("{name}", name);
        Ok(self.registrar.client()?.delete(&route, &DeregisterQuery { publish }).await?)
    }

    pub(super) async fn registered(&self) -> Result<Vec<ImageView>> {
        Ok(self.registrar.client()?.get(routes::IMAGES, &()).await?)
    }

    pub(super) async fn jobs(&self) -> Result<Vec<JobView>> {
        Ok(self.registrar.client()?.get(routes::JOBS, &()).await?)
    }

    /// What a node sees.
    pub(super) async fn log(&self) -> Result<VolumeLog> {
        self.ask_as_node(routes::LOG).await
    }

    /// Asks the registrar as a node does.
    pub(super) async fn ask_as_node<T: serde::de::DeserializeOwned>(&self, route: &str) -> Result<T> {
        let client = enrolment::client(&self.dir.join("agent"), &format!("https://{}", self.listen))?;
        Ok(client.get(route, &()).await?)
    }

    pub(super) async fn collect(&self, victim: Victim) -> Result<GcReport> {
        let client = match victim {
            Victim::Registrar => self.registrar.client()?,
            Victim::Agent => self.agent.client()?,
        };
        Ok(client.post(routes::GC, &GcQuery { dry_run: false, window_seconds: Some(0) }).await?)
    }

    pub(super) fn overlay_path(&self, name: &str) -> PathBuf {
        self.dir.join("vms").join(format!("{name}.qcow2"))
    }

    pub(super) async fn overlay(&self, image: &str, name: &str) -> Result<OverlayView> {
        std::fs::create_dir_all(self.dir.join("vms"))?;
        let request = OverlayRequest::new(image, self.overlay_path(name));
        Ok(self.agent.client()?.post(routes::OVERLAYS, &request).await?)
    }

    pub(super) async fn remove_overlay(&self, path: &Path) -> Result<serde_json::Value> {
        Ok(self.agent.client()?.delete(routes::OVERLAYS, &OverlayQuery { path: path.to_owned() }).await?)
    }

    pub(super) async fn overlays(&self) -> Result<Vec<OverlayView>> {
        Ok(self.agent.client()?.get(routes::OVERLAYS, &()).await?)
    }

    pub(super) async fn node_status(&self) -> Result<AgentStatus> {
        Ok(self.agent.client()?.get(routes::STATUS, &()).await?)
    }

    pub(super) fn dataset(&self, path: &str) -> Result<DatasetName> {
        Ok(format!("{}/{path}", self.root).parse()?)
    }

    pub(super) async fn guids(&self, of: &DatasetName) -> Result<Vec<Guid>> {
        Ok(self.zfs.snapshots(of).await?.iter().map(|snapshot| snapshot.guid).collect())
    }

    /// The node's volume, whichever generation that is.
    pub(super) async fn node_volume(&self) -> Result<DatasetName> {
        let mut volumes = Vec::new();
        for dataset in self.zfs.children(&self.dataset("node1")?).await? {
            if let Some(generation) = bootstash_agent::layout::Layout::generation_of(&dataset)
                && !self.guids(&dataset).await?.is_empty()
            {
                volumes.push((generation, dataset));
            }
        }
        volumes.into_iter().max().map(|(_, dataset)| dataset).context("the node has no volume")
    }

    /// Waits until no registration is under way, the node has what the registrar has, GUID by GUID, and
    /// the registrar knows that.
    pub(super) async fn in_step(&self) -> Result<()> {
        let there = self.dataset("registrar/volume")?;
        self.until("the node is in step", async || {
            let jobs = self.jobs().await?;
            let state = self.node_status().await?.state;
            if jobs.iter().any(|job| job.outcome.is_none()) || state != AgentState::InStep {
                return Ok(None);
            }
            let (there, here) = (self.guids(&there).await?, self.guids(&self.node_volume().await?).await?);
            // Either may have collected more than the other, and keeps what is in use.
            let of = |one: &[Guid], other: &[Guid]| -> Vec<Guid> {
                one.iter().copied().filter(|guid| other.contains(guid)).collect()
            };
            let same = there.last() == here.last() && of(&there, &here) == of(&here, &there);
            let nodes: Vec<NodeView> = self.registrar.client()?.get(routes::NODES, &()).await?;
            Ok((same && !there.is_empty() && nodes.iter().all(|node| node.lag == Some(0))).then_some(()))
        })
        .await
    }

    /// Waits until the node has what is announced, and no registration is under way.
    pub(super) async fn node_is_at_the_log(&self) -> Result<()> {
        self.until("the node is at what is announced", async || {
            let jobs = self.jobs().await?;
            let status = self.node_status().await?;
            let head = self.log().await?.snapshots.pop().map(|head| head.name);
            let ended = jobs.iter().all(|job| job.outcome.is_some());
            Ok((ended && status.state == AgentState::InStep && status.snapshot == head).then_some(()))
        })
        .await
    }

    /// Waits for what must come.
    pub(super) async fn until<T>(&self, what: &str, look: impl AsyncFn() -> Result<Option<T>>) -> Result<T> {
        let looking = async {
            loop {
                if let Some(found) = look().await? {
                    return Ok(found);
                }
                sleep(POLL).await;
            }
        };
        timeout(LIMIT, looking).await.with_context(|| format!("waited {} s for: {what}", LIMIT.as_secs()))?
    }

    /// Runs `zfs` behind everybody's back.
    pub(super) fn zfs_command(&self, words: &[&str]) -> Result<String> {
        Call::new("/usr/sbin/zfs").args(words).output()
    }

    /// Where the head of the registrar's volume is mounted.
    pub(super) fn head(&self) -> PathBuf {
        self.dir.join("registrar/volume")
    }
}

impl Live {
    /// Whether what the VM has open still says what it said.
    pub(super) fn is_unchanged(&self) -> Result<()> {
        let wanted = self.image.bytes()?;
        let mut bytes = vec![0; wanted.len()];
        self.open.read_exact_at(&mut bytes, 0).context("a VM cannot read its cache any more")?;
        ensure!(bytes == wanted, "the cache of a VM that runs has changed");
        ensure!(std::fs::read(&self.overlay.cache)? == wanted, "a VM that starts finds another cache");
        equal(&self.overlay.path, &self.image.base)
    }

    /// Opens anew what died with its ZFS.
    pub(super) fn reopen(&mut self) -> Result<()> {
        self.open = File::open(&self.overlay.cache)?;
        Ok(())
    }
}

/// QEMU's own judgement that an overlay shows the disk it was made of.
pub(super) fn equal(overlay: &Path, base: &Path) -> Result<()> {
    let compare = Call::new("qemu-img").args(["compare", "-f", "qcow2", "-F", "raw"]).args([overlay, base]);
    let said = compare.output()?;
    ensure!(said.contains("Images are identical"), "{said}");
    Ok(())
}

/// Where an image's cache lies below a view, or the head.
pub(super) fn cache_below(root: &Path, image: &str) -> Result<PathBuf> {
    Ok(catalog::cache_path(root, &image.parse()?))
}

fn registrar_config(root: &DatasetName, dir: &Path, socket: &Path, listen: SocketAddr) -> String {
    format!(
        "dataset = '{root}/registrar'\nstate_dir = '{}'\nsocket = '{}'\nlisten = '{listen}'\nwindow = '1s'\n\
         [capture]\npublish_early = false\naccelerator = 'tcg'\nquiet = '1s'\nboot_timeout = '90s'\nquiet_without_signal = '60s'\nmemory_mib = 64\n",
        dir.join("registrar").display(),
        socket.display(),
    )
}

fn agent_config(root: &DatasetName, dir: &Path, socket: &Path, registrar: SocketAddr) -> Result<String> {
    Ok(format!(
        "node = 'node1'\nregistrar = 'https://{registrar}'\ndataset = '{root}/node1'\nstate_dir = '{}'\n\
         views_dir = '{}'\nsocket = '{}'\nmetrics_listen = '{}'\nwindow = '1s'\n",
        dir.join("agent").display(),
        dir.join("views").display(),
        socket.display(),
        free_address()?,
    ))
}
