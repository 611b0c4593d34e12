//! Asking the daemons again and again. Promises that no daemon is waited for longer than a deadline, that one which
//! does not answer keeps no other from being asked, and that what it last said stays in the view.

use super::{AgentView, ClusterView, RegistrarView};
use crate::daemons::{Daemon, Daemons};
use crate::failure::{self, CommandError};
use crate::images::all_pages;
use bootstash_net::api::{Client, ImagesQuery, NodesQuery, RegistrarStatus, routes};
use chrono::Utc;
use serde::de::DeserializeOwned;
use std::future::Future;
use std::time::Duration;
use tokio::sync::watch;

/// For all that one daemon is asked at a time: well above what one takes that has much to do.
const DEADLINE: Duration = Duration::from_secs(10);

/// Whether images are shown, of which there can be thousands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Images {
    /// They are, and asked for whenever their number or the newest snapshot is another.
    Shown,
    /// They are not.
    LeftOut,
}

/// Asks the daemons of this host, or the registrar that was joined from it.
#[derive(Debug)]
pub(crate) struct Watcher<'a> {
    daemons: &'a Daemons,
    images: Images,
    /// Kept from call to call, as are their connections; found anew after a failure.
    clients: Vec<(Daemon, Client)>,
    view: ClusterView,
}

impl<'a> Watcher<'a> {
    /// Nobody is asked yet.
    pub(crate) fn new(daemons: &'a Daemons, images: Images) -> Self {
        Self { daemons, images, clients: Vec::new(), view: ClusterView::new(Utc::now()) }
    }

    /// Asks all, and shows what is known then.
    ///
    /// # Errors
    /// Where there is no daemon to ask, and never was.
    pub(crate) async fn ask(&mut self) -> Result<&ClusterView, CommandError> {
        self.view.asked = Utc::now();
        if self.clients.is_empty() || !self.view.silent.is_empty() {
            self.find()?;
        }
        for (daemon, client) in self.clients.clone() {
            match self.ask_one(daemon, &client).await {
                Ok(()) => self.view.answered(daemon),
                Err(error) => {
                    self.view.did_not_answer(daemon, error);
                    self.clients.clear();
                }
            }
        }
        Ok(&self.view)
    }

    /// Asks again and again, and tells each time; ends only where there is no more to ask.
    pub(crate) async fn keep_asking(
        &mut self,
        interval: Duration,
        tell: &watch::Sender<ClusterView>,
    ) -> CommandError {
        loop {
            tokio::time::sleep(interval).await;
            match self.ask().await {
                Ok(view) => drop(tell.send_replace(view.clone())),
                Err(error) => return error,
            }
        }
    }

    /// A socket that went away counts as a daemon that does not answer, and may be back.
    fn find(&mut self) -> Result<(), CommandError> {
        let known: Vec<Daemon> = [Daemon::Registrar, Daemon::Agent]
            .into_iter()
            .filter(|daemon| self.has_heard_of(*daemon))
            .collect();
        self.clients = match self.daemons.all() {
            Ok(clients) => clients,
            Err(CommandError::NoDaemons { .. }) if !known.is_empty() => Vec::new(),
            Err(error) => return Err(error),
        };
        for daemon in known {
            if !self.clients.iter().any(|(found, _)| *found == daemon) {
                let socket = self.daemons.socket(daemon).display();
                self.view.did_not_answer(daemon, format!("nobody listens at {socket}"));
            }
        }
        Ok(())
    }

    fn has_heard_of(&self, daemon: Daemon) -> bool {
        match daemon {
            Daemon::Registrar => self.view.registrar.is_some(),
            Daemon::Agent => self.view.agent.is_some(),
        }
    }

    async fn ask_one(&mut self, daemon: Daemon, client: &Client) -> Result<(), String> {
        match daemon {
            Daemon::Registrar => {
                let asking = registrar(client, self.images, self.view.registrar.as_ref());
                self.view.registrar = Some(within_deadline(asking).await?);
            }
            Daemon::Agent => {
                let status = within_deadline(get(client, routes::STATUS)).await?;
                self.view.agent = Some(AgentView { status });
            }
        }
        Ok(())
    }
}

async fn within_deadline<T>(asking: impl Future<Output = Result<T, CommandError>>) -> Result<T, String> {
    match tokio::time::timeout(DEADLINE, asking).await {
        Ok(answer) => answer.map_err(|error| failure::in_words(&error)),
        Err(_) => Err(format!("no answer within {} s", DEADLINE.as_secs())),
    }
}

async fn get<T: DeserializeOwned>(client: &Client, route: &str) -> Result<T, CommandError> {
    Ok(client.get(route, &()).await?)
}

async fn registrar(
    client: &Client,
    images: Images,
    before: Option<&RegistrarView>,
) -> Result<RegistrarView, CommandError> {
    let status: RegistrarStatus = get(client, routes::STATUS).await?;
    let nodes = client.get(routes::NODES, &NodesQuery::default()).await?;
    let jobs = get(client, routes::JOBS).await?;
    let same = |before: &&RegistrarView| {
        (before.status.images, &before.status.snapshot) == (status.images, &status.snapshot)
    };
    let images = match before.filter(same) {
        _ if images == Images::LeftOut => Vec::new(),
        Some(before) => before.images.clone(),
        None => all_pages(client, ImagesQuery::default()).await?,
    };
    Ok(RegistrarView { status, nodes, jobs, images })
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;
    use crate::stub::{self, Stub, refusal};
    use axum::routing::get as on_get;
    use axum::{Json, Router};
    use bootstash_base::error::ErrorClass;
    use bootstash_net::api::AgentState;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A registrar that counts how often it is asked for images, and refuses to tell its state when told to.
    fn served(asked_for_images: Arc<AtomicU32>, refuses: Arc<AtomicU32>) -> Stub {
        Stub::registrar(routes_of(asked_for_images, refuses))
    }

    fn routes_of(asked_for_images: Arc<AtomicU32>, refuses: Arc<AtomicU32>) -> Router {
        let view = samples::registrar();
        let (status, nodes, jobs, images) = (view.status, view.nodes, view.jobs, view.images);
        let tell = move || async move {
            match refuses.load(Ordering::SeqCst) {
                0 => Ok(Json(status)),
                _ => Err(refusal(500, "out of order", ErrorClass::Transient)),
            }
        };
        let list = move || async move {
            asked_for_images.fetch_add(1, Ordering::SeqCst);
            Json(images)
        };
        Router::new()
            .route(routes::STATUS, on_get(tell))
            .route(routes::NODES, on_get(move || async move { Json(nodes) }))
            .route(routes::JOBS, on_get(move || async move { Json(jobs) }))
            .route(routes::IMAGES, on_get(list))
    }

    #[tokio::test]
    async fn images_are_asked_for_when_they_changed_and_what_was_said_stays_through_a_failure() {
        let (asked_for_images, refuses) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let stub = served(Arc::clone(&asked_for_images), Arc::clone(&refuses));
        let daemons = stub.daemons();
        let mut watcher = Watcher::new(&daemons, Images::Shown);
        for _ in 0..3 {
            let view = watcher.ask().await.unwrap();
            assert_eq!(view.registrar, Some(samples::registrar()));
            assert_eq!(view.silent, []);
        }
        assert_eq!(asked_for_images.load(Ordering::SeqCst), 1);
        refuses.store(1, Ordering::SeqCst);
        let view = watcher.ask().await.unwrap();
        assert_eq!(view.silent[0].error, "out of order");
        assert_eq!(view.registrar, Some(samples::registrar()));
        refuses.store(0, Ordering::SeqCst);
        assert_eq!(watcher.ask().await.unwrap().silent, []);
    }

    #[tokio::test]
    async fn a_registrar_that_went_away_is_found_again_beside_an_agent_that_stayed() {
        let status = stub::agent_status(AgentState::InStep);
        let agent = Stub::agent(Router::new().route(routes::STATUS, on_get(move || async { Json(status) })));
        let registrar = || Stub::registrar_beside(&agent, routes_of(Arc::default(), Arc::default()));
        let (first, daemons) = (registrar(), agent.daemons());
        let mut watcher = Watcher::new(&daemons, Images::Shown);
        assert_eq!(watcher.ask().await.unwrap().silent, []);
        first.abort();
        drop(first.await);
        std::fs::remove_file(daemons.socket(Daemon::Registrar)).unwrap();
        while !watcher
            .ask()
            .await
            .unwrap()
            .silent
            .iter()
            .any(|silence| silence.error.contains("nobody listens"))
        {
            tokio::task::yield_now().await;
        }
        assert_eq!(watcher.view.silent.len(), 1);
        assert_eq!(watcher.view.registrar, Some(samples::registrar()), "what it said stays");
        let _second = registrar();
        assert_eq!(watcher.ask().await.unwrap().silent, []);
    }

    #[tokio::test]
    async fn what_nobody_shows_is_not_asked_for_and_a_host_without_daemons_says_so() {
        let asked_for_images = Arc::new(AtomicU32::new(0));
        let stub = served(Arc::clone(&asked_for_images), Arc::default());
        let daemons = stub.daemons();
        let mut watcher = Watcher::new(&daemons, Images::LeftOut);
        assert_eq!(watcher.ask().await.unwrap().registrar.as_ref().unwrap().images, []);
        assert_eq!(asked_for_images.load(Ordering::SeqCst), 0);
        let dir = tempfile::tempdir().unwrap();
        let none = Daemons::new(dir.path().join("r"), dir.path().join("a"), None);
        let mut watcher = Watcher::new(&none, Images::LeftOut);
        assert!(matches!(watcher.ask().await, Err(CommandError::NoDaemons { .. })));
    }
}
