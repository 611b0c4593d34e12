//! Deregistering and collecting: what is unused goes, what is in use stays.

use crate::setting::{Setting, assert_says};
use bootstash_tests::lab::Host;
use bootstash_tests::lab::warm_boot::Vm;

fn collect(host: &Host, options: &[&str]) -> String {
    let call = host.command("bootstash", ["gc", "--window", "0s"]).args(options);
    call.output().unwrap()
}

#[test]
fn old_snapshots_go_but_for_those_a_machine_runs_from() {
    let setting = Setting::new(1);
    let (storage, node) = (setting.lab.storage(), setting.lab.host("node1"));
    setting.register("a", 1);
    setting.lab.wait_in_step().unwrap();
    let vm = Vm::start(node, "a").unwrap();
    vm.wait_for_prompt().unwrap();
    setting.register("b", 2);

    let said = storage.bootstash(["deregister", "a", "--publish"]).unwrap().success().unwrap();
    assert_says(&said, &["deregistered a"]);
    setting.lab.wait_in_step().unwrap();
    assert_eq!(node.image_names().unwrap(), ["b"]);
    let again = storage.bootstash(["deregister", "a", "--publish"]).unwrap().success().unwrap();
    assert_says(&again, &["nothing changed"]);

    let dry = collect(storage, &["--dry-run"]);
    assert_says(&dry, &["would go"]);
    assert_eq!(storage.registrar_status().unwrap().snapshots, 3);
    collect(storage, &[]);
    assert_eq!(storage.registrar_status().unwrap().snapshots, 1);
    collect(node, &[]);
    let status = node.agent_status().unwrap();
    assert_eq!((status.snapshots, status.views), (2, 1), "the newest, and the one of the machine");

    let mut vm = vm;
    assert!(vm.is_running());
    vm.end().unwrap();
    collect(node, &[]);
    let status = node.agent_status().unwrap();
    assert_eq!((status.snapshots, status.views), (1, 0));

    // What was collected leaves a chain that goes on.
    setting.register("c", 3);
    setting.lab.wait_in_step().unwrap();
    assert_eq!(node.image_names().unwrap(), ["b", "c"]);
    setting.lab.finish().unwrap();
}

#[test]
fn deregistering_without_publishing_reaches_nodes_with_the_next_snapshot() {
    let setting = Setting::new(1);
    let (storage, node) = (setting.lab.storage(), setting.lab.host("node1"));
    setting.register("a", 1);
    setting.lab.wait_in_step().unwrap();
    storage.bootstash(["deregister", "a"]).unwrap().success().unwrap();
    assert!(storage.image_names().unwrap().is_empty());
    assert_eq!(node.image_names().unwrap(), ["a"]);
    setting.register("b", 2);
    setting.lab.wait_in_step().unwrap();
    assert_eq!(node.image_names().unwrap(), ["b"]);
    setting.lab.finish().unwrap();
}
