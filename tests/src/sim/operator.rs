//! Commands that people give, and what they may expect of each: above all that the same command again
//! changes nothing.

use super::commands::RunningCommands;
use super::host::{Host, Life};
use super::network::{Network, SimTransport};
use super::node::Node;
use super::storage::{SOCKET, StorageNode};
use bootstash_base::names::SnapshotName;
use bootstash_delta::catalog::CACHE_FILE;
use bootstash_net::api::*;
use bootstash_zfs::{Removed, Zfs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How often a job is asked for while the registrar does not answer, before the operator gives up.
const PATIENCE: u32 = 30;

/// Who gives commands. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Operator {
    host: Arc<Host>,
    client: Client,
    storage: Arc<StorageNode>,
    commands: Arc<RunningCommands>,
}

impl Operator {
    pub(super) fn new(
        host: &Arc<Host>,
        network: &Arc<Network>,
        storage: &Arc<StorageNode>,
    ) -> anyhow::Result<Self> {
        let transport = SimTransport { network: Arc::clone(network), life: Life::new(host), sound: true };
        let client = Client::new(Endpoint::Tcp(format!("http://{SOCKET}")))?.over(Arc::new(transport));
        Ok(Self { host: Arc::clone(host), client, storage: Arc::clone(storage), commands: Arc::default() })
    }

    /// Registers an image, waits for the outcome, and registers it again. Says whether it is registered.
    pub(super) async fn register(&self, name: &str, source: &Path) -> bool {
        let command = self.commands.begin(name, &self.storage);
        let outcome = match self.ask_for(name, source).await {
            Ok(RegisterReply::Unchanged { .. }) => return true,
            Ok(RegisterReply::Started { job }) => self.outcome(job, name).await,
            Err(error) => return self.refused("register", name, &error),
        };
        self.host.note(format_args!("register {name}: {outcome:?}"));
        let Some(JobOutcome::Registered { snapshot, .. }) = outcome else { return false };
        self.check_snapshot(name, &snapshot, true);
        let again = self.ask_for(name, source).await;
        if matches!(again, Ok(RegisterReply::Started { .. })) && command.ran_alone() {
            self.host.model.violated(format_args!("{name} was registered, and is registered once more"));
        }
        true
    }

    async fn ask_for(&self, name: &str, source: &Path) -> Result<RegisterReply, CallError> {
        let request = RegisterRequest::new(name, source);
        self.client.post(routes::IMAGES, &request).await
    }

    /// Asks now and then: who waits for news is woken while other work of that instant goes on, and may
    /// see more of it or less.
    async fn outcome(&self, job: JobId, name: &str) -> Option<JobOutcome> {
        let route = routes::JOB.replace("{id}", &job.to_string());
        let mut unanswered = 0;
        while unanswered < PATIENCE {
            match self.client.get::<JobView>(&route, &()).await {
                // Where a backup was restored, the number is that of another job.
                Ok(view) if view.name.as_str() != name => return None,
                Ok(JobView { outcome: Some(outcome), .. }) => return Some(outcome),
                Ok(_) => self.host.pause(100, 1000).await,
                Err(CallError::Refused { status: 404, .. }) => return None,
                Err(_) => {
                    unanswered += 1;
                    self.host.pause(1000, 5000).await;
                }
            }
        }
        None
    }

    /// A snapshot that is still there holds the image, or does not.
    fn check_snapshot(&self, name: &str, snapshot: &SnapshotName, wanted: bool) {
        let Some(files) = self.storage.pool.fake.files(&self.storage.volume(), snapshot) else { return };
        let holds = files.contains_key(&Path::new("images").join(name).join(CACHE_FILE));
        if holds != wanted {
            let said = if wanted { "is said to hold" } else { "is said to be without" };
            self.host.model.violated(format_args!("{snapshot} {said} {name}"));
        }
    }

    /// Deregisters an image, twice.
    pub(super) async fn deregister(&self, name: &str, publish: bool) {
        let command = self.commands.begin(name, &self.storage);
        let route = routes::IMAGE.replace("{name}", name);
        let query = DeregisterQuery { publish };
        let reply = self.client.delete::<DeregisterReply>(&route, &query).await;
        self.host.note(format_args!("deregister {name}: {:?}", reply.as_ref().ok()));
        let Ok(reply) = reply else { return };
        if let Some(snapshot) = &reply.published {
            self.check_snapshot(name, snapshot, false);
        }
        let again = self.client.delete::<DeregisterReply>(&route, &query).await;
        if again.is_ok_and(|again| again.outcome != Removed::Unchanged) && command.ran_alone() {
            self.host.model.violated(format_args!("{name} was deregistered, and is deregistered once more"));
        }
    }

    /// Collects on the registrar.
    pub(super) async fn collect(&self, window: Option<Duration>, dry_run: bool) -> bool {
        let query = GcQuery { dry_run, window_seconds: window.map(|window| window.as_secs()) };
        let before = self.storage.pool.fake.snapshots(&self.storage.volume()).await.unwrap_or_default();
        let report = self.client.post::<GcReport>(routes::GC, &query).await;
        let kept = report.as_ref().map(|report| report.snapshots.iter().filter(|it| it.keep).count());
        self.host.note(format_args!("collect: {} of {} kept", kept.unwrap_or(0), before.len()));
        report.is_ok()
    }

    /// How many registrations are under way; none where the registrar does not say.
    pub(super) async fn jobs(&self) -> Option<u64> {
        let status = self.client.get::<RegistrarStatus>(routes::STATUS, &()).await;
        status.ok().map(|status| status.jobs)
    }

    fn refused(&self, what: &str, name: &str, error: &CallError) -> bool {
        self.host.note(format_args!("{what} {name}: {error}"));
        false
    }

    /// Makes an overlay.
    pub(super) async fn create_overlay(&self, node: &Node, image: &str, path: PathBuf) -> bool {
        let (Some((volume, life)), Ok(image)) = (node.volume(), image.parse()) else { return false };
        let create = volume.create_overlay(image, path.clone());
        let Some(made) = life.token().run_until_cancelled(create).await else { return false };
        node.host.note(format_args!("overlay create: {:?}", made.as_ref().map(|made| &made.snapshot)));
        if made.is_ok() && !self.host.model.facts().made.contains(&path) {
            self.host.model.violated(format_args!("an overlay of {} is said to be made", node.host.name));
        }
        made.is_ok()
    }

    /// Removes an overlay, twice.
    pub(super) async fn remove_overlay(&self, node: &Node, path: PathBuf) -> bool {
        let Some((volume, life)) = node.volume() else { return false };
        let both = async { (volume.remove_overlay(path.clone()).await, volume.remove_overlay(path).await) };
        let Some((first, again)) = life.token().run_until_cancelled(both).await else { return false };
        node.host.note(format_args!("overlay remove: {first:?}, {again:?}"));
        if first.is_ok() && again.is_ok_and(|again| again != Removed::Unchanged) {
            self.host.model.violated(format_args!("an overlay of {} is removed twice", node.host.name));
        }
        first.is_ok()
    }

    /// Collects on a node.
    pub(super) async fn collect_node(&self, node: &Node, window: Duration, dry_run: bool) -> bool {
        let Some((volume, life)) = node.volume() else { return false };
        let collected = life.token().run_until_cancelled(volume.collect(window, dry_run)).await;
        let Some(collected) = collected else { return false };
        match &collected {
            Ok(report) => node.host.note(format_args!("collect: views {:?} go", report.views)),
            Err(error) => node.host.note(format_args!("collect: {error}")),
        }
        collected.is_ok()
    }

    /// Drops the volumes that a node keeps because the registrar does not know them.
    pub(super) async fn drop_unknown(&self, node: &Node) {
        let Some((volume, _)) = node.volume() else { return };
        for replaced in volume.state().replaced.iter().filter(|it| it.unknown.is_some()) {
            let dropped = node.pool.fake.destroy(&replaced.dataset).await.is_ok();
            node.host.note(format_args!("a person drops {}: {dropped}", replaced.dataset));
            if dropped && let Some(facts) = self.host.model.facts().nodes.get_mut(&node.host.name) {
                facts.keep.remove(&replaced.dataset);
            }
        }
    }
}
