//! What the daemons know that a word can be completed by.

use crate::daemons::{Daemon, Daemons};
use crate::failure::CommandError;
use crate::render::guest_text;
use bootstash_net::api::{
    ImagePattern, ImageView, ImagesQuery, JobView, MemberView, NodeView, OverlayStatus, routes,
};
use bootstash_net::identity::Identity;
use std::collections::BTreeMap;
use std::time::Duration;

/// How many names a shell is given at most.
const MOST: usize = 500;

/// What a word stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// Images that are registered, or that this node holds.
    Images,
    /// Nodes that the registrar has heard of.
    Nodes,
    /// Whoever has a certificate.
    Members,
    /// Registrations under way.
    Jobs,
    /// Overlays of this node.
    Overlays,
}

/// A word, and what it is.
type Offer = (String, String);

/// Words that begin as what was typed; none where no daemon tells within the deadline.
pub(super) async fn within(deadline: Duration, daemons: &Daemons, known: Known, typed: &str) -> Vec<Offer> {
    let asked = tokio::time::timeout(deadline, ask(daemons, known, typed)).await;
    let mut offers = asked.ok().and_then(Result::ok).unwrap_or_default();
    offers.retain(|(word, _)| word.starts_with(typed) && is_plain(word));
    offers.truncate(MOST);
    offers
}

/// Nothing of another host may drive the terminal.
fn is_plain(word: &str) -> bool {
    guest_text(word) == word
}

async fn ask(daemons: &Daemons, known: Known, typed: &str) -> Result<Vec<Offer>, CommandError> {
    match known {
        Known::Images => images(daemons, typed).await,
        Known::Nodes => {
            let nodes: Vec<NodeView> = daemons.need(Daemon::Registrar)?.get(routes::NODES, &()).await?;
            Ok(nodes.iter().map(|node| (node.name.to_string(), "node".to_owned())).collect())
        }
        Known::Members => {
            let members: Vec<MemberView> = daemons.need(Daemon::Registrar)?.get(routes::MEMBERS, &()).await?;
            Ok(member_names(&members))
        }
        Known::Jobs => {
            let jobs: Vec<JobView> = daemons.need(Daemon::Registrar)?.get(routes::JOBS, &()).await?;
            let under_way = jobs.iter().filter(|job| job.outcome.is_none());
            Ok(under_way.map(|job| (job.id.to_string(), format!("{}, {}", job.name, job.step))).collect())
        }
        Known::Overlays => {
            let overlays: Vec<OverlayStatus> =
                daemons.need(Daemon::Agent)?.get(routes::OVERLAYS, &()).await?;
            let offer = |overlay: &OverlayStatus| {
                let path = overlay.overlay.path.to_str()?.to_owned();
                Some((path, overlay.overlay.image.to_string()))
            };
            Ok(overlays.iter().filter_map(offer).collect())
        }
    }
}

/// Asks for those alone that begin so, as there may be thousands.
async fn images(daemons: &Daemons, typed: &str) -> Result<Vec<Offer>, CommandError> {
    let Ok(pattern) = format!("{typed}*").parse::<ImagePattern>() else { return Ok(Vec::new()) };
    let query = ImagesQuery { pattern: Some(pattern), after: None, limit: Some(MOST) };
    let images: Vec<ImageView> = daemons.first()?.1.get(routes::IMAGES, &query).await?;
    let offer = |image: &ImageView| {
        let source = image.manifest.source.path.display();
        (image.manifest.name.to_string(), guest_text(&source.to_string()))
    };
    Ok(images.iter().map(offer).collect())
}

/// Each once, however many certificates it has.
fn member_names(members: &[MemberView]) -> Vec<Offer> {
    let valid = members.iter().filter(|member| member.expelled.is_none());
    let name = |member: &MemberView| match &member.identity {
        Identity::Node(name) => Some((name.to_string(), "node".to_owned())),
        Identity::Operator(name) => Some((name.to_string(), "operator".to_owned())),
        Identity::Monitor(name) => Some((name.to_string(), "monitor".to_owned())),
        Identity::Registrar => None,
    };
    valid.filter_map(name).collect::<BTreeMap<_, _>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::register::samples;
    use crate::stub::{self, Stub};
    use axum::routing::get;
    use axum::{Json, Router};

    /// Only a fault meets it.
    const LONG: Duration = Duration::from_secs(60);

    async fn words(stub: &Stub, known: Known, typed: &str) -> Vec<String> {
        let offers = within(LONG, &stub.daemons(), known, typed).await;
        offers.into_iter().map(|(word, _)| word).collect()
    }

    #[tokio::test]
    async fn images_begin_as_what_was_typed() {
        let images = ["alpine", "debian12", "debian13"].map(|name| stub::image(name, chrono::Utc::now()));
        let stub = Stub::agent(Router::new().route(routes::IMAGES, get(async move || Json(images))));
        assert_eq!(words(&stub, Known::Images, "deb").await, ["debian12", "debian13"]);
        assert_eq!(words(&stub, Known::Images, "").await.len(), 3);
        assert!(words(&stub, Known::Images, "[").await.is_empty(), "it is no pattern");
        assert!(words(&stub, Known::Nodes, "").await.is_empty(), "there is no registrar");
    }

    #[tokio::test]
    async fn jobs_are_offered_as_long_as_they_can_be_cancelled() {
        let jobs =
            [samples::capturing(), JobView { id: bootstash_net::api::JobId(8), ..samples::registered() }];
        let stub = Stub::registrar(Router::new().route(routes::JOBS, get(async move || Json(jobs))));
        let offers = within(LONG, &stub.daemons(), Known::Jobs, "").await;
        assert_eq!(offers, [("7".to_owned(), "debian12, capture".to_owned())]);
    }

    #[tokio::test]
    async fn a_daemon_that_hangs_offers_nothing() {
        let hanging = get(async || std::future::pending::<String>().await);
        let stub = Stub::registrar(Router::new().route(routes::NODES, hanging));
        let offers = within(Duration::from_millis(20), &stub.daemons(), Known::Nodes, "").await;
        assert!(offers.is_empty());
    }

    #[test]
    fn what_could_drive_a_terminal_is_not_offered() {
        assert!(is_plain("/vms/größe a.qcow2") && !is_plain("/vms/\x1b[2Ja") && !is_plain("/vms/a\nb"));
    }
}
