//! A ZFS that hangs for a while: noticed, reported, waited for, and nothing else stops.

use crate::setting::Setting;
use bootstash_net::api::AgentState;
use bootstash_tests::lab::{Host, Program, wait};
use bootstash_tests::prometheus::parse;
use nix::sys::signal::{Signal, kill};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

/// Stops a host's zfs-fuse until it is dropped, as a disk that does not answer stops it.
struct StoppedZfsFuse(nix::unistd::Pid);

impl StoppedZfsFuse {
    fn on(host: &Host) -> Self {
        let pid = host.pid(Program::ZfsFuse).unwrap();
        kill(pid, Signal::SIGSTOP).unwrap();
        Self(pid)
    }
}

impl Drop for StoppedZfsFuse {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGCONT);
    }
}

#[test]
fn an_agent_whose_zfs_hangs_says_so_and_goes_on_with_it() {
    if std::path::Path::new("/dev/zfs").exists() {
        eprintln!("a kernel's ZFS cannot be stopped: left out");
        return;
    }
    let setting = Setting::new(1);
    let node = setting.lab.host("node1");
    setting.lab.expect_log("ZFS has not answered");
    setting.register("a", 1);
    setting.lab.wait_in_step().unwrap();

    let stopped = StoppedZfsFuse::on(node);
    setting.register("b", 2);
    let waiting =
        wait::until("the agent to notice", SOON, || Ok(node.agent_status()?.zfs_unanswered)).unwrap();
    assert!(waiting.call.starts_with("zfs "), "{waiting:?}");
    assert!(matches!(node.agent_status().unwrap().state, AgentState::Applying { .. }));
    let scraped = setting.lab.scrape(node, "127.0.0.1:7431").unwrap();
    let seconds = parse(&scraped).unwrap().value("bootstash_agent_zfs_unanswered_seconds").unwrap();
    assert!(seconds >= 15.0, "{seconds}");
    assert_eq!(setting.lab.storage().nodes().unwrap()[0].lag, Some(1));

    drop(stopped);
    setting.lab.wait_in_step().unwrap();
    assert_eq!(node.image_names().unwrap(), ["a", "b"]);
    assert_eq!(node.agent_status().unwrap().zfs_unanswered, None);
    setting.lab.finish().unwrap();
}
