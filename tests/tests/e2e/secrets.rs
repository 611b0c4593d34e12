//! What nobody may read in a log, and whom else's TLS meets.

use crate::setting::Setting;
use bootstash_net::api::InviteReply;
use bootstash_tests::lab::membership::registrar_url;
use bootstash_tests::lab::{Host, Program};
use rustls::pki_types::pem::PemObject;

/// Everything that would give a secret away, in the forms in which programs print bytes.
fn secrets(host: &Host, file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(host.outside(file)).unwrap();
    let key = text.split("PRIVATE KEY-----").nth(1).unwrap();
    let lines: Vec<String> = key.lines().filter(|line| line.len() > 20).map(str::to_owned).collect();
    assert!(lines.len() > 1, "no key in {file}");
    let der = rustls::pki_types::PrivateKeyDer::from_pem_slice(text.as_bytes()).unwrap();
    lines.into_iter().chain(bytes_as_text(&der.secret_der()[40..60])).collect()
}

fn bytes_as_text(bytes: &[u8]) -> [String; 3] {
    let hex =
        |separator: &str| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(separator);
    [format!("{bytes:?}").trim_matches(['[', ']']).to_owned(), hex(""), hex(" ")]
}

#[test]
fn no_key_or_token_is_in_a_log_at_trace() {
    let setting = Setting::without_daemons(1, |plan| plan);
    let (storage, node) = (setting.lab.storage(), setting.lab.host("node1"));
    // Warnings of libraries are theirs.
    setting.lab.expect_log("");
    let trace = |host: &Host, program| host.daemon_call(program).env("RUST_LOG", "trace");
    storage.start_as(Program::Registrar, &trace(storage, Program::Registrar)).unwrap();
    let invitation: InviteReply = storage.ask(["node", "invite", "node1"]).unwrap();
    let token = invitation.token.reveal();
    let join = trace(node, Program::Agent).args(["join", &registrar_url(), token]).finish().unwrap();
    join.clone().success().unwrap();
    node.start_as(Program::Agent, &trace(node, Program::Agent)).unwrap();
    setting.register("a", 1);
    setting.lab.wait_in_step().unwrap();
    let elsewhere = node.command("bootstash", ["--identity", "/var/lib/bootstash/elsewhere"]);
    let spent = elsewhere.env("RUST_LOG", "trace").args(["join", &registrar_url(), token]).finish().unwrap();
    assert!(spent.stderr.contains("ask for a new one"), "{}", spent.stderr);

    let (registrar, agent) = ("/var/lib/bootstash/registrar/identity", "/var/lib/bootstash/agent/identity");
    let mut all = secrets(storage, &format!("{registrar}/authority.pem"));
    all.extend(secrets(storage, &format!("{registrar}/identity.pem")));
    all.extend(secrets(node, &format!("{agent}/identity.pem")));
    all.push(token["bootstash-".len()..][..40].to_owned());
    let mut logs = vec![join.stderr, spent.stderr];
    for (host, program) in [(storage, Program::Registrar), (node, Program::Agent)] {
        let log = std::fs::read_to_string(host.log(program)).unwrap();
        assert!(log.contains("TRACE"), "nothing was traced");
        logs.push(log);
    }
    for secret in all {
        assert!(logs.iter().all(|log| !log.contains(&secret)), "a log holds {secret}");
    }
    setting.lab.finish().unwrap();
}

#[test]
fn nothing_older_than_tls_1_3_and_nothing_without_it() {
    let setting = Setting::new(1);
    let node = setting.lab.host("node1");
    let metrics = |options: &[&str], url: &str| {
        let call = node.command("curl", ["--silent", "--show-error", "--insecure", "--max-time", "20"]);
        call.args(options).args([url]).finish().unwrap()
    };
    let url = format!("{}/metrics", registrar_url());
    let refused = metrics(&["--tls-max", "1.2"], &url).failure().unwrap();
    assert!(refused.contains("alert") || refused.contains("SSL"), "{refused}");
    assert!(metrics(&[], &url.replace("https", "http")).failure().is_ok());
    // Let in so far, to be told that this is not enough.
    assert!(metrics(&[], &url).stdout.contains("this needs a certificate"));
    setting.lab.finish().unwrap();
}

#[test]
fn an_operator_works_from_another_machine() {
    let setting = Setting::new(1);
    let (storage, node) = (setting.lab.storage(), setting.lab.host("node1"));
    let invitation: InviteReply = storage.ask(["operator", "invite", "ada"]).unwrap();
    let ada =
        |words: &[&str]| node.command("bootstash", ["--identity", "/var/lib/bootstash/ada"]).args(words);
    let joined = ada(&["join", &registrar_url(), invitation.token.reveal()]).output().unwrap();
    assert!(joined.contains("operator ada"), "{joined}");
    let nodes = ada(&["nodes"]).output().unwrap();
    assert!(nodes.contains("node1"), "{nodes}");
    let token = ada(&["node", "invite", "node9"]).output().unwrap();
    assert!(token.starts_with(&format!("bootstash-agent join {} bootstash-", registrar_url())), "{token}");
    assert!(ada(&["renew"]).output().unwrap().starts_with("unchanged: operator ada until "));
    storage.bootstash(["operator", "expel", "ada"]).unwrap().success().unwrap();
    let refused = ada(&["nodes"]).finish().unwrap().failure().unwrap();
    assert!(refused.contains("operator ada was expelled by") && refused.contains("join again"), "{refused}");
    setting.lab.finish().unwrap();
}
