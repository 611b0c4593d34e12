//! Wrong names, wrong configurations, things done twice: refused with words, and nothing changed.

use crate::setting::{Setting, assert_says, inside};
use bootstash_net::api::{CallError, Client, Endpoint, RegisterReply, RegisterRequest, routes};
use bootstash_tests::guest::TinyGuest;
use bootstash_tests::lab::Program;
use std::fs;

#[test]
fn names_that_could_lead_elsewhere() {
    let setting = Setting::new(0);
    let source = setting.add("a.raw", &TinyGuest::booting(1));
    for name in ["../etc", "a/b", "a b", "..", &"x".repeat(300)] {
        let error = setting.try_register(name, &source).failure().unwrap();
        assert_says(&error, &["image name", "use 1 to 100"]);
    }
    // Whoever speaks to the registrar without the command meets the same.
    let socket = setting.lab.storage().outside("/run/bootstash/registrar.sock");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = Client::new(Endpoint::Unix(socket)).unwrap();
    for name in ["../etc", "a/b", "", &"x".repeat(300)] {
        let request = RegisterRequest::new(name, &source);
        let reply = runtime.block_on(client.post::<RegisterReply>(routes::IMAGES, &request));
        let Err(CallError::Refused { status, error, .. }) = reply else { panic!("{reply:?}") };
        assert_eq!(status, 400, "{error}");
        assert_says(&error, &["image name", "use 1 to 100"]);
    }
    setting.assert_untouched();
    setting.lab.finish().unwrap();
}

#[test]
fn a_name_that_is_taken() {
    let setting = Setting::new(0);
    setting.register("a", 1);
    let other = setting.add("b.raw", &TinyGuest::booting(2));
    let before = setting.lab.storage().images().unwrap();

    let again = setting.try_register("a", &inside("a.raw")).success().unwrap();
    assert_says(&again, &["nothing changed"]);
    let error = setting.try_register("a", &other).failure().unwrap();
    assert_says(&error, &["a", "registered", "/srv/images/a.raw", "deregister"]);

    assert_eq!(setting.lab.storage().images().unwrap(), before);
    assert_eq!(setting.lab.storage().registrar_status().unwrap().snapshots, 1);
    setting.lab.finish().unwrap();
}

#[test]
fn two_registrations_of_one_name_at_once() {
    let setting = Setting::new(0);
    let source = setting.add("a.raw", &TinyGuest::booting(1));
    let other = setting.add("b.raw", &TinyGuest::booting(2));
    let storage = setting.lab.storage();
    let detached = storage.command("bootstash", ["register", "a", "--detach"]).args([&source]);
    detached.output().unwrap();

    let error = setting.try_register("a", &other).failure().unwrap();
    assert_says(&error, &["a", "/srv/images/a.raw"]);
    // The same again follows the job that is under way.
    setting.try_register("a", &source).success().unwrap();
    assert_eq!(storage.jobs().unwrap().len(), 1);
    assert_eq!(storage.image_names().unwrap(), ["a"]);
    setting.lab.finish().unwrap();
}

#[test]
fn daemons_started_twice() {
    let setting = Setting::new(1);
    let lab = &setting.lab;
    for (host, program) in [(lab.storage(), Program::Registrar), (lab.host("node1"), Program::Agent)] {
        let second = host.daemon_call(program).finish().unwrap().failure().unwrap();
        assert_says(&second, &["already runs", "stop it first"]);
        host.bootstash(["status"]).unwrap().success().unwrap();
    }
    setting.lab.finish().unwrap();
}

#[test]
fn configurations_with_unknown_keys_and_daemons_without_identity() {
    let setting = Setting::without_daemons(1, |plan| plan);
    let lab = &setting.lab;
    for (host, program) in [(lab.storage(), Program::Registrar), (lab.host("node1"), Program::Agent)] {
        let file = host.outside(host.config_path(program));
        let good = fs::read_to_string(&file).unwrap();
        fs::write(&file, format!("wndow = \"1d\"\n{good}")).unwrap();
        let error = host.daemon_call(program).finish().unwrap().failure().unwrap();
        assert_says(&error, &["toml", "wndow"]);
        let config = host.config_path(program);
        let check = host.command("bootstash", ["config", "check"]).args([&config]);
        assert_says(&check.finish().unwrap().failure().unwrap(), &["toml", "wndow"]);
        fs::write(&file, good).unwrap();
        check.output().unwrap();
    }
    let storage = lab.storage();
    let error = storage.daemon_call(Program::Registrar).finish().unwrap().failure().unwrap();
    assert_says(&error, &["bootstash-registrar init", "/var/lib/bootstash/registrar/identity"]);
    let error = lab.host("node1").daemon_call(Program::Agent).finish().unwrap().failure().unwrap();
    assert_says(&error, &["bootstash node invite NAME", "bootstash-agent join"]);
    setting.lab.finish().unwrap();
}

#[test]
fn overlays_of_what_is_not_there() {
    let setting = Setting::new(1);
    let node = setting.lab.host("node1");
    let create = |image: &str, path: &str| node.bootstash(["overlay", "create", image, path]).unwrap();
    let early = create("a", "/var/lib/bootstash/x.qcow2").failure().unwrap();
    assert_says(&early, &["no images yet", "bootstash status"]);

    setting.register("a", 1);
    setting.lab.wait_in_step().unwrap();
    let unknown = create("nope", "/var/lib/bootstash/x.qcow2").failure().unwrap();
    assert_says(&unknown, &["nope", "bootstash images"]);
    let nowhere = create("a", "/var/lib/nowhere/x.qcow2").failure().unwrap();
    assert_says(&nowhere, &["/var/lib/nowhere"]);
    assert!(!node.outside("/var/lib/bootstash/x.qcow2").exists());
    assert_eq!(node.agent_status().unwrap().views, 0);
    setting.lab.finish().unwrap();
}
