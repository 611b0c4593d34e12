use crate::follow::Intervals;
use crate::run::Agent;
use crate::testing::{Node, OverlayFiles, soon};
use bootstash_base::error::ErrorClass;
use bootstash_base::testing::fail_on_warnings;
use bootstash_net::api::{
    AgentState, AgentStatus, CallError, Client, Endpoint, GcQuery, GcReport, ImageView, OverlayQuery,
    OverlayRequest, OverlayView, routes,
};
use bootstash_zfs::Removed;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Status and kind of a refusal.
fn refusal<T: std::fmt::Debug>(answer: Result<T, CallError>) -> (u16, ErrorClass) {
    match answer.unwrap_err() {
        CallError::Refused { status, kind, .. } => (status, kind),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn agent_answers_while_its_registrar_is_dead_and_ends_in_order() {
    let mut watch = fail_on_warnings();
    watch.expect("lost the registrar");
    let node = Node::new();
    let config = node.config_of_a_member();
    let cancel = CancellationToken::new();
    let agent =
        Agent::start(&config, node.zfs.clone(), Arc::new(OverlayFiles), Intervals::default(), cancel.clone())
            .await
            .unwrap();
    let client = Client::new(Endpoint::Unix(config.socket.clone())).unwrap();

    let status: AgentStatus = client.get(routes::STATUS, &()).await.unwrap();
    assert!(matches!(status.state, AgentState::Starting | AgentState::Waiting { .. }), "{status:?}");
    assert_eq!((status.node.as_str(), status.images, status.usage), ("c17", 0, None));
    assert!(status.rss_bytes > 0);
    assert_eq!(client.get::<Vec<ImageView>>(routes::IMAGES, &()).await.unwrap(), []);
    assert_eq!(client.get::<Vec<OverlayView>>(routes::OVERLAYS, &()).await.unwrap(), []);

    let request = |image: &str| OverlayRequest::new(image, node.vm("a.qcow2"));
    let made = client.post::<OverlayView>(routes::OVERLAYS, &request("../etc")).await;
    assert_eq!(refusal(made), (400, ErrorClass::Permanent));
    let made = client.post::<OverlayView>(routes::OVERLAYS, &request("alpine")).await;
    assert_eq!(refusal(made), (503, ErrorClass::Transient));
    let made = client.post::<OverlayView>(routes::OVERLAYS, &"no request").await;
    assert_eq!(refusal(made), (400, ErrorClass::Permanent));
    let query = OverlayQuery { path: node.vm("a.qcow2") };
    assert_eq!(client.delete::<Removed>(routes::OVERLAYS, &query).await.unwrap(), Removed::Unchanged);
    let report: GcReport = client.post(routes::GC, &GcQuery::default()).await.unwrap();
    assert_eq!(report, GcReport::default());
    let metrics = client.download(routes::METRICS, 0).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("bootstash_agent_snapshot_number 0"), "{metrics}");

    cancel.cancel();
    soon(agent.finish()).await.unwrap();
    assert!(!config.socket.exists());
}

#[tokio::test]
async fn second_agent_on_the_socket_is_refused() {
    let mut watch = fail_on_warnings();
    watch.allow("lost the registrar");
    let node = Node::new();
    let cancel = CancellationToken::new();
    let config = node.config_of_a_member();
    let start = || {
        Agent::start(&config, node.zfs.clone(), Arc::new(OverlayFiles), Intervals::default(), cancel.clone())
    };
    let first = start().await.unwrap();
    let error = start().await.unwrap_err().to_string();
    assert!(error.contains("agent.sock") && error.contains("stop it first"), "{error}");
    cancel.cancel();
    soon(first.finish()).await.unwrap();
}
