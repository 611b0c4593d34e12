//! Each right and each refusal, through real TLS and a real registrar.

#[path = "authorization/nodes.rs"]
mod nodes;

use anyhow::{Context, Result, ensure};
use bootstash_net::api::*;
use bootstash_net::enrolment;
use bootstash_net::enrolment::Joining;
use bootstash_net::identity::{CredentialStore, Credentials, ExpectedPeer, Identity};
use bootstash_net::server;
use bootstash_net::server::{ConnectionTimeouts, RevocationList};
use bootstash_tests::authorization::{LIMIT, TestRegistrar, cut_off, status, turned_away};
use reqwest::Method;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// What operators may ask, and nobody else on the network.
fn orders() -> Vec<(Method, &'static str, Value)> {
    let (get, post, delete) = (Method::GET, Method::POST, Method::DELETE);
    vec![
        (get.clone(), "/v1/images", Value::Null),
        (post.clone(), "/v1/images", json!({ "name": "a", "source": "/etc/shadow", "format": null })),
        (delete.clone(), "/v1/images/a", Value::Null),
        (get.clone(), "/v1/jobs", Value::Null),
        (get.clone(), "/v1/jobs/1", Value::Null),
        (get.clone(), "/v1/nodes", Value::Null),
        (get.clone(), "/v1/status", Value::Null),
        (post.clone(), "/v1/gc", json!({ "dry_run": true })),
        (get.clone(), "/v1/volume/restore", Value::Null),
        (post.clone(), "/v1/volume/restore", json!({ "from": "c1" })),
        (post, "/v1/invitations", json!({ "identity": "operator:eve" })),
        (get, "/v1/members", Value::Null),
        (delete, "/v1/members?identity=node:c2", Value::Null),
    ]
}

/// What nodes may ask, and nobody else.
const FOLLOWING: [&str; 4] = ["/v1/log", "/v1/full", "/v1/stream", "/v1/deltas/1-2.bsd"];

async fn ask(client: &Client, method: &Method, path: &str, body: &Value) -> Result<Value, CallError> {
    match *method {
        Method::GET => client.get(path, &()).await,
        Method::POST => client.post(path, body).await,
        _ => client.delete(path, &()).await,
    }
}

fn report() -> NodeReport {
    NodeReport {
        head: None,
        version: "1".to_owned(),
        problem: None,
        peer: None,
        multicast_ok: false,
        host: None,
    }
}

#[tokio::test]
async fn a_node_follows_and_reports_on_itself_and_no_more() -> Result<()> {
    let registrar = TestRegistrar::open().await?;
    let node = registrar.member("node:c1").await?;
    node.get::<LogReply>(routes::LOG, &LogQuery::default()).await?;
    node.post::<()>(&routes::NODE_REPORT.replace("{node}", "c1"), &report()).await?;
    let other = node.post::<()>(&routes::NODE_REPORT.replace("{node}", "c2"), &report()).await;
    ensure!(status(other)? == 403);
    for (method, path, body) in orders() {
        ensure!(status(ask(&node, &method, path, &body).await)? == 403, "{method} {path}");
    }
    ensure!(status(node.get::<Value>(routes::METRICS, &()).await)? == 403);
    let nodes: Vec<NodeView> = registrar.local()?.get(routes::NODES, &()).await?;
    ensure!(nodes.len() == 1 && nodes[0].name.as_str() == "c1", "{nodes:?}");
    registrar.close().await
}

#[tokio::test]
async fn an_operator_orders_and_a_monitor_reads_metrics_alone() -> Result<()> {
    let registrar = TestRegistrar::open().await?;
    let (operator, monitor) =
        (registrar.member("operator:ada").await?, registrar.member("monitor:prom").await?);
    operator.get::<RegistrarStatus>(routes::STATUS, &()).await?;
    operator.get::<Vec<MemberView>>(routes::MEMBERS, &()).await?;
    for client in [&operator, &monitor] {
        ensure!(client.stream(routes::METRICS, &()).await?.text().await?.contains("bootstash_registrar"));
        for path in FOLLOWING {
            ensure!(status(client.get::<Value>(path, &()).await)? == 403, "{path}");
        }
        let reported = client.post::<()>(&routes::NODE_REPORT.replace("{node}", "ada"), &report()).await;
        ensure!(status(reported)? == 403);
    }
    for (method, path, body) in orders() {
        ensure!(status(ask(&monitor, &method, path, &body).await)? == 403, "{method} {path}");
    }
    registrar.close().await
}

/// A client that shows no certificate and verifies none.
fn unauthenticated() -> Result<reqwest::Client> {
    drop(rustls::crypto::ring::default_provider().install_default());
    Ok(reqwest::Client::builder().tls_danger_accept_invalid_certs(true).no_proxy().build()?)
}

#[tokio::test]
async fn an_unauthenticated_client_learns_nothing_but_the_way_in() -> Result<()> {
    let (registrar, unauthenticated) = (TestRegistrar::open().await?, unauthenticated()?);
    let mut answers = Vec::new();
    let paths = orders().into_iter().map(|(method, path, _)| (method, path));
    let unknown = [(Method::GET, "/v1/nowhere"), (Method::PUT, "/v1/log"), (Method::GET, "/")];
    let members = FOLLOWING.map(|path| (Method::GET, path));
    let others = [(Method::GET, routes::METRICS), (Method::POST, routes::RENEWAL)];
    for (method, path) in paths.chain(unknown).chain(members).chain(others) {
        let response = unauthenticated.request(method, format!("{}{path}", registrar.url())).send().await?;
        answers.push((response.status().as_u16(), response.text().await?));
    }
    ensure!(answers.iter().all(|answer| *answer == answers[0]) && answers[0].0 == 401, "{answers:#?}");
    for body in ["", "{}", "{\"token\":\"bootstash-x\",\"request_pem\":\"\",\"by\":\"agent\"}", "\u{0}"] {
        let join = unauthenticated
            .post(format!("{}{}", registrar.url(), routes::JOIN))
            .header("content-type", "application/json");
        let response = join.body(body).send().await?;
        answers.push((response.status().as_u16(), response.text().await?));
    }
    let refused = &answers[answers.len() - 4..];
    ensure!(refused.iter().all(|answer| *answer == refused[0]) && refused[0].0 == 409, "{refused:#?}");
    registrar.close().await
}

#[tokio::test]
async fn certificates_of_others_and_late_ones_open_nothing() -> Result<()> {
    let registrar = TestRegistrar::open().await?;
    let other = registrar.client(&registrar.counterfeit("other", "node:c1")?)?;
    cut_off(other.get::<LogReply>(routes::LOG, &LogQuery::default()).await)?;
    let short = Duration::from_secs(2);
    let late = registrar.certify("late", "node:c1", short)?;
    let client = registrar.client(&late)?;
    // A connection that was made in time ends with the certificate, in the middle of its wait.
    let query = LogQuery { wait_seconds: 60, ..LogQuery::default() };
    cut_off(client.get::<LogReply>(routes::LOG, &query).await)?;
    ensure!(Credentials::load(&late)?.expires() <= chrono::Utc::now(), "it was cut early");
    let ended = client.get::<LogReply>(routes::LOG, &LogQuery::default()).await.unwrap_err();
    ensure!(matches!(ended, CallError::CertificateEnded { .. }), "{ended:?}");
    ensure!(ended.to_string().contains("`bootstash-agent join https://"), "{ended}");
    registrar.close().await
}

#[tokio::test]
async fn who_is_expelled_is_out_at_once_and_stays_out() -> Result<()> {
    let registrar = TestRegistrar::open().await?;
    let node = registrar.member("node:c1").await?;
    let query = LogQuery { wait_seconds: 60, ..LogQuery::default() };
    let waiting = {
        let node = node.clone();
        tokio::spawn(async move { node.get::<LogReply>(routes::LOG, &query).await })
    };
    registrar
        .until("it waits", async || {
            let nodes: Vec<NodeView> = registrar.local()?.get(routes::NODES, &()).await?;
            nodes.first().map(drop).context("not yet")
        })
        .await?;
    let pending = registrar.invite("node:c1", 600).await?;
    let expel = ExpelQuery { identity: "node:c1".parse()? };
    let reply: ExpelReply = registrar.local()?.delete(routes::MEMBERS, &expel).await?;
    ensure!(reply == ExpelReply { certificates: 1, invitations: 1 }, "{reply:?}");
    // Long before its wait is over.
    cut_off(timeout(Duration::from_secs(20), waiting).await.context("it waits on")??)?;
    // Whoever comes again is told, whatever they ask for, and of nothing else.
    let query = LogQuery::default();
    let told =
        registrar.until("it is told", async || turned_away(node.get::<LogReply>(routes::LOG, &query).await));
    told.await?;
    turned_away(node.post::<Value>(routes::JOIN, &"no token").await)?;
    let views = async |all| -> Result<Vec<NodeView>> {
        Ok(registrar.local()?.get(routes::NODES, &NodesQuery { all }).await?)
    };
    ensure!(views(false).await?.is_empty());
    ensure!(views(true).await?.iter().all(|node| node.expelled.is_some()) && views(true).await?.len() == 1);
    let metrics = registrar.local()?.stream(routes::METRICS, &()).await?.text().await?;
    ensure!(!metrics.contains("node=\"c1\""), "{metrics}");
    ensure!(registrar.join("again", &pending).await.is_err(), "its invitation still counts");
    let again: ExpelReply = registrar.local()?.delete(routes::MEMBERS, &expel).await?;
    ensure!(again == ExpelReply { certificates: 0, invitations: 0 });
    // Others hear of it, and one who is invited anew is in.
    let other = registrar.member("node:c2").await?;
    ensure!(other.get::<LogReply>(routes::LOG, &LogQuery::default()).await?.expelled.len() == 1);
    let token = registrar.invite("node:c1", 600).await?;
    registrar.join("anew", &token).await?;
    registrar.client(&registrar.keys("anew"))?.get::<LogReply>(routes::LOG, &LogQuery::default()).await?;
    ensure!(views(false).await?.iter().any(|node| node.name.as_str() == "c1"), "it is in again");
    registrar.close().await
}

#[tokio::test]
async fn a_token_counts_once_in_time_and_for_its_registrar() -> Result<()> {
    let registrar = TestRegistrar::open().await?;
    let token = registrar.invite("node:c1", 600).await?;
    ensure!(matches!(registrar.join("c1", &token).await?, Joining::Joined(Identity::Node(_))));
    let before = std::fs::read(registrar.keys("c1").join("identity.pem"))?;
    ensure!(matches!(registrar.join("c1", &token).await?, Joining::Unchanged(_)));
    ensure!(std::fs::read(registrar.keys("c1").join("identity.pem"))? == before);
    let twice = registrar.join("thief", &token).await.unwrap_err();
    ensure!(
        format!("{twice:#}").contains("ask for a new one") && !registrar.keys("thief").exists(),
        "{twice:#}"
    );

    let late = registrar.invite("node:c2", 1).await?;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    ensure!(registrar.join("c2", &late).await.is_err() && !registrar.keys("c2").exists());
    ensure!(
        registrar.invite("registrar", 600).await.is_err()
            && registrar.invite("node:c3", 8 * 86400).await.is_err()
    );

    // Another registrar is told nothing: it does not have the authority that the token pins.
    let other = TestRegistrar::open().await?;
    let token = other.invite("node:c1", 600).await?;
    ensure!(registrar.join("c3", &token).await.is_err());
    other.join("c3", &token).await?;
    other.close().await?;
    registrar.close().await
}

#[tokio::test]
async fn the_wrong_program_spends_no_token() -> Result<()> {
    let registrar = TestRegistrar::open().await?;
    let before = registrar.member("node:c1").await?;
    for (identity, wrong, remedy) in [
        ("operator:ada", Joiner::Agent, "use it with `bootstash join`"),
        ("monitor:prom", Joiner::Agent, "use it with `bootstash join`"),
        ("node:c1", Joiner::Command, "use it with `bootstash-agent join`"),
    ] {
        let (token, permission) = (registrar.invite(identity, 600).await?, Joiner::of(&identity.parse()?));
        let refused = registrar.join_by(wrong, "wrong", &token).await.unwrap_err();
        ensure!(format!("{refused:#}").contains(remedy) && !registrar.keys("wrong").exists(), "{refused:#}");
        // Nor is anything taken back that its owner has.
        before.get::<LogReply>(routes::LOG, &LogQuery::default()).await?;
        let joined = registrar.join_by(permission, &format!("{identity} anew"), &token).await?;
        ensure!(matches!(joined, Joining::Joined(_)));
        // Once it is spent, there is nothing to tell.
        let spent = registrar.join_by(wrong, "wrong", &token).await.unwrap_err();
        ensure!(format!("{spent:#}").contains("ask for a new one"), "{spent:#}");
    }
    let query = LogQuery::default();
    let told = registrar
        .until("it is told", async || turned_away(before.get::<LogReply>(routes::LOG, &query).await));
    told.await?;
    registrar.close().await
}

#[tokio::test]
async fn joining_anew_takes_the_lost_certificate_back() -> Result<()> {
    let registrar = TestRegistrar::open().await?;
    let lost = registrar.member("node:c1").await?;
    let token = registrar.invite("node:c1", 600).await?;
    registrar.join("new", &token).await?;
    let query = LogQuery::default();
    let told =
        registrar.until("it is told", async || turned_away(lost.get::<LogReply>(routes::LOG, &query).await));
    told.await?;
    registrar.client(&registrar.keys("new"))?.get::<LogReply>(routes::LOG, &LogQuery::default()).await?;
    registrar.close().await
}

#[tokio::test]
async fn a_certificate_is_renewed_without_a_restart() -> Result<()> {
    let registrar = TestRegistrar::open().await?;
    registrar.member("node:c1").await?;
    let dir = registrar.keys("node:c1");
    let store = CredentialStore::new(Credentials::load(&dir)?);
    let client =
        Dialer::new(store.clone()).client(&registrar.url(), ExpectedPeer::Exactly(Identity::Registrar))?;
    let before = store.now();
    enrolment::renew(&dir, &store, &client).await?;
    ensure!(store.now().serial() != before.serial() && store.now().identity() == before.identity());
    ensure!(Credentials::load(&dir)?.serial() == store.now().serial());
    client.get::<LogReply>(routes::LOG, &LogQuery::default()).await?;
    let members: Vec<MemberView> = registrar.local()?.get(routes::MEMBERS, &()).await?;
    ensure!(members.len() == 2 && members.iter().all(|member| member.expelled.is_none()), "{members:?}");
    registrar.close().await
}

#[tokio::test]
async fn nobody_else_passes_for_the_registrar() -> Result<()> {
    let registrar = TestRegistrar::open().await?;
    registrar.member("node:c1").await?;
    let node = CredentialStore::new(Credentials::load(&registrar.keys("node:c1"))?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let (url, stop) = (format!("https://{}", listener.local_addr()?), CancellationToken::new());
    let routes_of_all = axum::Router::new().fallback(async || axum::Json(LogReply::default()));
    let (store, ending) = (node.clone(), stop.clone());
    let serving = tokio::spawn(async move {
        server::serve(listener, routes_of_all, &store, RevocationList::default(), ending, LIMIT).await
    });
    let log = LogQuery::default();
    let dial = |expected| Dialer::new(node.clone()).client(&url, expected);
    cut_off(dial(ExpectedPeer::Exactly(Identity::Registrar))?.get::<LogReply>(routes::LOG, &log).await)?;
    cut_off(dial(ExpectedPeer::Exactly("node:c2".parse()?))?.get::<LogReply>(routes::LOG, &log).await)?;
    dial(ExpectedPeer::AnyNode)?.get::<LogReply>(routes::LOG, &log).await?;
    stop.cancel();
    serving.await??;
    registrar.close().await
}

#[tokio::test]
async fn keys_are_their_owners_alone() -> Result<()> {
    let registrar = TestRegistrar::open().await?;
    registrar.member("node:c1").await?;
    let mode = |path: &std::path::Path| {
        Ok::<_, std::io::Error>(std::fs::metadata(path)?.permissions().mode() & 0o777)
    };
    for (who, file) in [
        ("registrar", "authority.pem"),
        ("registrar", "identity.pem"),
        ("registrar", "members.json"),
        ("node:c1", "identity.pem"),
    ] {
        ensure!(mode(&registrar.keys(who).join(file))? == 0o600, "{who} {file}");
        ensure!(mode(&registrar.keys(who))? == 0o700, "{who}");
    }
    let key = registrar.keys("node:c1").join("identity.pem");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640))?;
    let refused = Credentials::load(&registrar.keys("node:c1")).unwrap_err().to_string();
    ensure!(refused.contains("identity.pem") && refused.contains("chmod 600"), "{refused}");
    registrar.close().await
}

/// Serves nothing much, with little timeouts.
async fn impatient(registrar: &TestRegistrar) -> Result<(std::net::SocketAddr, CancellationToken)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let (address, stop) = (listener.local_addr()?, CancellationToken::new());
    let routes_of_all = axum::Router::new().fallback(async |body: String| body);
    let store = CredentialStore::new(Credentials::load(&registrar.keys("registrar"))?);
    let short = Duration::from_millis(400);
    let timeouts = ConnectionTimeouts {
        handshake: short,
        headers: short,
        body: short,
        silence: LIMIT,
        unauthenticated: short,
    };
    let ending = stop.clone();
    tokio::spawn(async move {
        let revoked = RevocationList::default();
        server::serve_with_timeouts(listener, routes_of_all, &store, revoked, timeouts, ending, LIMIT).await
    });
    Ok((address, stop))
}

type Raw = tokio_rustls::client::TlsStream<TcpStream>;

/// A node's connection to a registrar, of which each byte can be chosen.
async fn raw(registrar: &TestRegistrar, to: std::net::SocketAddr) -> Result<Raw> {
    raw_as(registrar, "node:c1", ExpectedPeer::Exactly(Identity::Registrar), to).await
}

/// The same of anybody to anybody.
async fn raw_as(
    registrar: &TestRegistrar,
    who: &str,
    expected: ExpectedPeer,
    to: std::net::SocketAddr,
) -> Result<Raw> {
    let store = CredentialStore::new(Credentials::load(&registrar.keys(who))?);
    let config = store.client(expected)?;
    let name = rustls::pki_types::ServerName::try_from("any.example")?;
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    Ok(connector.connect(name, TcpStream::connect(to).await?).await?)
}

/// What is still said, and then the end.
async fn rest(mut stream: impl tokio::io::AsyncRead + Unpin) -> Result<String> {
    let mut said = Vec::new();
    // However it ends, it ends.
    drop(timeout(LIMIT, stream.read_to_end(&mut said)).await.context("the connection was not ended")?);
    Ok(String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test]
async fn who_says_nothing_or_too_slowly_or_too_much_is_dropped() -> Result<()> {
    let registrar = TestRegistrar::open().await?;
    registrar.member("node:c1").await?;
    let (address, stop) = impatient(&registrar).await?;
    // Nothing at all, half a handshake, and no TLS.
    for said in [&b""[..], b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"] {
        let mut silent = TcpStream::connect(address).await?;
        silent.write_all(said).await?;
        ensure!(!rest(silent).await?.contains("HTTP"));
    }
    // Half a head.
    let mut slow = raw(&registrar, address).await?;
    slow.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n").await?;
    rest(slow).await?;
    // Half a body.
    let mut slow = raw(&registrar, address).await?;
    slow.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc").await?;
    ensure!(rest(slow).await?.starts_with("HTTP/1.1 408"));
    // More than any request of ours, announced and not.
    for head in ["content-length: 70000", "transfer-encoding: chunked"] {
        let mut large = raw(&registrar, address).await?;
        let chunk = if head.starts_with("transfer") { "11170\r\n" } else { "" };
        let request = format!("POST / HTTP/1.1\r\nhost: x\r\n{head}\r\n\r\n{chunk}{}", "x".repeat(70_000));
        large.write_all(request.as_bytes()).await?;
        ensure!(rest(large).await?.starts_with("HTTP/1.1 413"), "{head}");
    }
    let mut large = raw(&registrar, address).await?;
    drop(large.write_all(format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(70_000)).as_bytes()).await);
    ensure!(!rest(large).await?.contains("200 OK"));
    // And one who behaves is served all the while.
    let mut good = raw(&registrar, address).await?;
    good.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc")
        .await?;
    ensure!(rest(good).await?.ends_with("abc"));
    stop.cancel();
    registrar.close().await
}
