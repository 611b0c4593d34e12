//! Agents that were away, or have nobody to talk to.

use crate::setting::Setting;
use bootstash_net::api::AgentState;
use bootstash_tests::lab::{Program, wait};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

#[test]
fn an_agent_that_was_down_catches_up_at_its_start() {
    let setting = Setting::new(2);
    let (one, two) = (setting.lab.host("node1"), setting.lab.host("node2"));
    setting.register("a", 1);
    setting.lab.wait_in_step().unwrap();
    two.stop(Program::Agent).unwrap();
    setting.register("b", 2);
    setting.register("c", 3);
    wait::until("the other node to have them", SOON, || Ok((one.image_names()?.len() == 3).then_some(())))
        .unwrap();
    two.start(Program::Agent).unwrap();
    setting.lab.wait_in_step().unwrap();
    assert_eq!(two.image_names().unwrap(), ["a", "b", "c"]);
    let (one, two) = (one.agent_status().unwrap(), two.agent_status().unwrap());
    assert_eq!((one.snapshot, one.snapshots), (two.snapshot, two.snapshots));
    setting.lab.finish().unwrap();
}

#[test]
fn an_agent_waits_for_a_registrar_that_is_not_there_yet() {
    let setting = Setting::without_daemons(1, |plan| plan);
    let (storage, node) = (setting.lab.storage(), setting.lab.host("node1"));
    setting.lab.expect_log("registrar");
    // Once it was, for the node to join it.
    storage.start(Program::Registrar).unwrap();
    setting.lab.join(node).unwrap();
    storage.stop(Program::Registrar).unwrap();
    node.start(Program::Agent).unwrap();
    wait::until("the agent to say that it waits", SOON, || {
        Ok(matches!(node.agent_status()?.state, AgentState::Waiting { .. }).then_some(()))
    })
    .unwrap();
    setting.lab.storage().start(Program::Registrar).unwrap();
    setting.register("a", 1);
    setting.lab.wait_in_step().unwrap();
    assert_eq!(node.agent_status().unwrap().state, AgentState::InStep);
    setting.lab.finish().unwrap();
}

#[test]
fn a_node_that_comes_late_gets_it_all_in_one_stream() {
    let setting = Setting::without_daemons(1, |plan| plan);
    setting.lab.storage().start(Program::Registrar).unwrap();
    setting.register("a", 1);
    setting.register("b", 2);
    // What there was before the window is no longer to be had as deltas.
    let gc = setting.lab.storage().bootstash(["gc", "--window", "0s"]).unwrap();
    gc.success().unwrap();
    let node = setting.lab.host("node1");
    setting.lab.join(node).unwrap();
    node.start(Program::Agent).unwrap();
    setting.lab.wait_in_step().unwrap();
    assert_eq!(node.image_names().unwrap(), ["a", "b"]);
    assert_eq!(node.agent_status().unwrap().snapshots, 1);
    setting.lab.finish().unwrap();
}
