//! The TLS ports of nodes: their port for others, and what a node does about certificates by itself.

use super::{raw_as, rest, unauthenticated};
use anyhow::{Context, Result, ensure};
use bootstash_delta::VolumeLog;
use bootstash_net::api::*;
use bootstash_net::identity::{Credentials, ExpectedPeer};
use bootstash_tests::authorization::{Node, TestRegistrar, status, turned_away};
use reqwest::Method;
use serde_json::Value;
use std::time::Duration;

/// What a node serves others.
const OF_PEERS: [&str; 3] = ["/v1/log", "/v1/stream", "/v1/deltas/00"];
/// Where nobody answers.
const NOWHERE: &str = "https://127.0.0.1:1";

fn url(of: std::net::SocketAddr) -> String {
    format!("https://{of}")
}

/// A client of `who` at a node's port.
fn client(registrar: &TestRegistrar, who: &str, port: std::net::SocketAddr) -> Result<Client> {
    registrar.client_of(&registrar.keys(who), &url(port), ExpectedPeer::AnyNode)
}

async fn log(client: &Client) -> Result<VolumeLog, CallError> {
    client.get(routes::LOG, &LogQuery::default()).await
}

#[tokio::test]
async fn a_nodes_ports_are_for_those_they_are_for() -> Result<()> {
    let registrar = TestRegistrar::open().await?;
    for who in ["node:c1", "node:c2", "operator:ada", "monitor:prom"] {
        registrar.member(who).await?;
    }
    let node = Node::open(&registrar, "node:c1", &registrar.url()).await?;
    for who in ["node:c2", "registrar"] {
        log(&client(&registrar, who, node.peers)?).await.with_context(|| who.to_owned())?;
        ensure!(
            status(client(&registrar, who, node.metrics)?.get::<Value>(routes::METRICS, &()).await)? == 403
        );
    }
    for who in ["operator:ada", "monitor:prom"] {
        for path in OF_PEERS {
            let asked = client(&registrar, who, node.peers)?.get::<Value>(path, &()).await;
            ensure!(status(asked)? == 403, "{who} {path}");
        }
        let metrics =
            client(&registrar, who, node.metrics)?.stream(routes::METRICS, &()).await?.text().await?;
        ensure!(metrics.contains("bootstash_agent"), "{who}: {metrics}");
    }
    node.close().await?;
    registrar.close().await
}

#[tokio::test]
async fn an_unauthenticated_client_learns_nothing_of_a_node() -> Result<()> {
    let registrar = TestRegistrar::open().await?;
    registrar.member("node:c1").await?;
    let node = Node::open(&registrar, "node:c1", &registrar.url()).await?;
    let mut answers = Vec::new();
    for port in [node.peers, node.metrics] {
        // Nor does anybody join a node.
        for path in OF_PEERS.into_iter().chain([routes::METRICS, routes::JOIN, "/v1/nowhere", "/"]) {
            for method in [Method::GET, Method::POST] {
                let response =
                    unauthenticated()?.request(method, format!("{}{path}", url(port))).send().await?;
                answers.push((response.status().as_u16(), response.text().await?));
            }
        }
    }
    ensure!(answers.iter().all(|answer| *answer == answers[0]) && answers[0].0 == 401, "{answers:#?}");
    node.close().await?;
    registrar.close().await
}

#[tokio::test]
async fn an_expelled_node_is_cut_off_at_its_peers() -> Result<()> {
    let registrar = TestRegistrar::open().await?;
    registrar.member("node:c1").await?;
    registrar.member("node:c2").await?;
    let node = Node::open(&registrar, "node:c1", &registrar.url()).await?;
    let (expelled, peer) =
        (client(&registrar, "node:c2", node.peers)?, ExpectedPeer::Exactly("node:c1".parse()?));
    log(&expelled).await?;
    // One that says nothing is not ended for that before the test is over.
    let open = raw_as(&registrar, "node:c2", peer, node.peers).await?;
    let expel = ExpelQuery { identity: "node:c2".parse()? };
    registrar.local()?.delete::<ExpelReply>(routes::MEMBERS, &expel).await?;
    ensure!(rest(open).await?.is_empty());
    registrar.until("it is told", async || turned_away(log(&expelled).await)).await?;
    // The node knows it still when it starts again, and its registrar is away.
    node.close().await?;
    let node = Node::open(&registrar, "node:c1", NOWHERE).await?;
    turned_away(log(&client(&registrar, "node:c2", node.peers)?).await)?;
    // One who is invited anew has another certificate, which counts at once.
    let token = registrar.invite("node:c2", 600).await?;
    registrar.join("anew", &token).await?;
    log(&client(&registrar, "anew", node.peers)?).await?;
    node.close().await?;
    registrar.close().await
}

#[tokio::test]
async fn an_agent_renews_its_certificate_by_itself() -> Result<()> {
    let registrar = TestRegistrar::open().await?;
    // Two thirds of its time are over: it counts from a while ago, as clocks differ.
    let dir = registrar.certify("node:c1", "node:c1", Duration::from_secs(120))?;
    let before = Credentials::load(&dir)?;
    ensure!(before.is_due());
    registrar.member("node:c2").await?;
    let node = Node::open(&registrar, "node:c1", &registrar.url()).await?;
    let shown = async || {
        let peer = ExpectedPeer::Exactly("node:c1".parse()?);
        let connection = raw_as(&registrar, "node:c2", peer, node.peers).await?;
        let shown = connection.get_ref().1.peer_certificates().and_then(<[_]>::first).cloned();
        shown.context("no certificate was shown")
    };
    let renewed = registrar.until("it is renewed", async || {
        let now = Credentials::load(&dir)?;
        ensure!(now.serial() != before.serial(), "not yet");
        Ok(now)
    });
    let renewed = renewed.await?;
    ensure!(renewed.identity() == before.identity() && !renewed.is_due(), "{renewed:?}");
    // Who connects from then on is shown the new one, without a restart.
    registrar
        .until("the new one is in use", async || {
            let (_, expires) = bootstash_net::identity::of_certificate(&shown().await?)?;
            ensure!(expires == renewed.expires(), "not yet");
            Ok(())
        })
        .await?;
    node.close().await?;
    registrar.close().await
}

#[tokio::test]
async fn an_agent_that_was_expelled_says_so_and_how_to_come_back() -> Result<()> {
    let registrar = TestRegistrar::open().await?;
    registrar.member("node:c1").await?;
    let node = Node::open(&registrar, "node:c1", &registrar.url()).await?;
    let status = async || -> Result<AgentStatus> { Ok(node.local()?.get(routes::STATUS, &()).await?) };
    registrar
        .until("it is in step", async || {
            ensure!(status().await?.state == AgentState::InStep);
            Ok(())
        })
        .await?;
    let expel = ExpelQuery { identity: "node:c1".parse()? };
    registrar.local()?.delete::<ExpelReply>(routes::MEMBERS, &expel).await?;
    let told = registrar.until("it knows", async || match status().await?.state {
        AgentState::Stopped { error } => Ok(error),
        other => anyhow::bail!("{other:?}"),
    });
    let (told, url) = (told.await?, registrar.url());
    ensure!(told.starts_with(&format!("node c1 was expelled by {url}; ask for an invitation")), "{told}");
    ensure!(told.ends_with(&format!("`bootstash-agent join {url} TOKEN`")), "{told}");
    node.close().await?;
    registrar.close().await
}

#[tokio::test]
async fn a_host_that_joins_under_another_name_leaves_the_lists_under_its_old_one() -> Result<()> {
    let registrar = TestRegistrar::open().await?;
    let names = async || -> Result<Vec<String>> {
        let nodes: Vec<NodeView> = registrar.local()?.get(routes::NODES, &NodesQuery::default()).await?;
        Ok(nodes.into_iter().map(|node| node.name.to_string()).collect())
    };
    let call = async |token: String| -> Result<String> {
        let joined = registrar.join("host", &token).await?.text("start it");
        registrar.client(&registrar.keys("host"))?.get::<LogReply>(routes::LOG, &LogQuery::default()).await?;
        Ok(joined)
    };
    call(registrar.invite("node:old", 600).await?).await?;
    ensure!(names().await? == ["old"]);
    let renamed = call(registrar.invite("node:new", 600).await?).await?;
    ensure!(renamed.contains("was told that this is node old no more"), "{renamed}");
    let listed = names().await?;
    ensure!(listed == ["new"], "{listed:?}");
    // Under the name it has, nothing is given up.
    let again = call(registrar.invite("node:new", 600).await?).await?;
    ensure!(names().await? == ["new"] && again == "joined as node new; start it", "{again}");
    registrar.close().await
}

#[tokio::test]
async fn two_hosts_with_one_identity_are_told_apart_on_both_sides() -> Result<()> {
    let registrar = TestRegistrar::open().await?;
    let node = registrar.member("node:c1").await?;
    let poll = async |host: &str| -> Result<Option<IdentityConflict>> {
        let query = LogQuery { host: Some(host.parse()?), ..LogQuery::default() };
        Ok(node.get::<LogReply>(routes::LOG, &query).await?.identity_conflict)
    };
    // A host that starts anew, and its agent anew.
    for host in ["m.1", "m.1", "m.2", "m.2"] {
        ensure!(poll(host).await?.is_none(), "{host}");
    }
    // A clone of its disk, which speaks in turns with it.
    ensure!(poll("m.3").await?.is_none() && poll("m.2").await?.is_none());
    for host in ["m.3", "m.2"] {
        let told = poll(host).await?.context("it is not told")?.to_string();
        ensure!(told.contains("2 hosts") && told.contains("one machine-id"), "{told}");
    }
    let nodes: Vec<NodeView> = registrar.local()?.get(routes::NODES, &NodesQuery::default()).await?;
    ensure!(nodes[0].identity_conflict.as_ref().is_some_and(|it| it.hosts.len() == 2), "{nodes:?}");
    let metrics = registrar.local()?.stream(routes::METRICS, &()).await?.text().await?;
    ensure!(metrics.contains("bootstash_registrar_node_identity_conflicts 1"), "{metrics}");
    registrar.close().await
}
