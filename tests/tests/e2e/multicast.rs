//! One transmission to all nodes, over a network that does not always help.

use crate::setting::{Setting, assert_says};
use bootstash_net::api::MulticastFindings;
use bootstash_tests::lab::flood::Flood;
use bootstash_tests::lab::{Host, Lab, LabPlan, wait};
use bootstash_tests::prometheus::parse;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);
const GROUP: &str = "239.77.66.1:7434";
/// Low, so that ten times as much can be sent beside it.
const BYTES_PER_SECOND: u64 = 500_000;
/// Where the kernel grants small buffers, agents say so.
const SMALL_BUFFER: &str = "the socket for multicast holds";

fn sending_to(group: &str) -> impl FnOnce(LabPlan) -> LabPlan {
    let lines = format!(
        "[multicast]\ngroup = \"{group}\"\ninterface = \"eth0\"\nrate_bytes_per_second = {BYTES_PER_SECOND}\n"
    );
    move |plan| plan.registrar(&lines).unwrap()
}

fn setting(nodes: usize, group: &str) -> Setting {
    let setting = Setting::without_daemons(nodes, sending_to(group));
    setting.lab.expect_log(SMALL_BUFFER);
    setting.lab.start_daemons().unwrap();
    setting
}

fn counted(lab: &Lab, node: &Host, name: &str) -> f64 {
    let scrape = parse(&lab.scrape(node, "127.0.0.1:7431").unwrap()).unwrap();
    scrape.value(&format!("bootstash_agent_multicast_{name}")).unwrap_or_default()
}

/// Whether a node receives multicast, by its doctor, and what that says.
fn examined(node: &Host) -> (bool, String) {
    let finished = node.bootstash(["doctor", "multicast"]).unwrap();
    let said = format!("{}{}", finished.stdout, finished.stderr);
    (finished.success().is_ok(), said)
}

#[test]
fn a_node_behind_a_firewall_fetches_and_its_doctor_says_why() {
    let setting = setting(3, GROUP);
    let (lab, blocked) = (&setting.lab, setting.lab.host("node3"));
    lab.expect_log("nothing is received from multicast group");
    blocked.drop_udp_to(7434).unwrap();
    setting.register("a", 1);
    lab.wait_in_step().unwrap();
    assert_eq!(counted(lab, blocked, "left_total{reason=\"unheard\"}"), 1.0);
    assert!(counted(lab, blocked, "unicast_bytes_total") > 1e6);
    for name in ["node1", "node2"] {
        let node = lab.host(name);
        assert_eq!(counted(lab, node, "left_total{reason=\"unheard\"}"), 0.0, "{name}");
        assert_eq!(counted(lab, node, "sessions_total"), 1.0, "{name}");
    }
    let (hears, text) = examined(blocked);
    assert!(!hears, "{text}");
    assert_says(
        &text,
        &["heard      no", "firewall", "querier", "error: nothing is heard of multicast group"],
    );
    let (hears, text) = examined(lab.host("node1"));
    assert!(hears, "{text}");
    assert_says(&text, &[GROUP, "eth0 (10.77.0.11)", "heard      yes"]);
    setting.lab.finish().unwrap();
}

#[test]
fn a_flood_at_ten_times_the_rate_changes_nothing() {
    let setting = setting(3, GROUP);
    let lab = &setting.lab;
    let flood = Flood::begin(lab.storage(), GROUP.parse().unwrap(), 10 * BYTES_PER_SECOND);
    setting.register("a", 1);
    lab.wait_in_step().unwrap();
    // Now there are datagrams of a session that is over, too.
    setting.register("b", 2);
    lab.wait_in_step().unwrap();
    let sent = flood.end().unwrap();
    assert!(sent > 10 << 20, "{sent} bytes are no flood");
    for node in lab.nodes() {
        assert_eq!(node.image_names().unwrap(), ["a", "b"]);
        assert_eq!(counted(lab, node, "sessions_total"), 2.0, "{}", node.name());
        assert_eq!(counted(lab, node, "bad_blocks_total"), 0.0, "{}", node.name());
        let refused = ["wrong-length", "wrong-session", "wrong-seal", "held"]
            .map(|outcome| counted(lab, node, &format!("datagrams_total{{outcome=\"{outcome}\"}}")));
        assert!(refused.iter().all(|count| *count > 0.0), "{}: {refused:?}", node.name());
    }
    setting.lab.finish().unwrap();
}

#[test]
fn groups_of_ipv6_are_heard_too() {
    let setting = setting(1, "[ff05::7766]:7434");
    let node = setting.lab.host("node1");
    // Addresses of IPv6 are tried for a second or two before they are used.
    let findings = wait::until("the group to be heard", SOON, || {
        Ok(node.ask::<MulticastFindings>(["doctor", "multicast"]).ok())
    });
    let findings = findings.unwrap();
    assert!(findings.reached && findings.expected > 100, "{findings:?}");
    setting.lab.finish().unwrap();
}
