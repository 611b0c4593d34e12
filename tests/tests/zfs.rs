//! The door to ZFS on a real one. Needs root.

use bootstash_tests::lab::zfs_host::{ZfsHost, ZfsHostOptions};

#[test]
fn a_host_comes_and_goes_without_a_trace() {
    let dir = tempfile::tempdir().unwrap();
    let host = ZfsHost::start(&ZfsHostOptions {
        dir: dir.path().to_owned(),
        pool: "tank".to_owned(),
        pool_bytes: 256 << 20,
        netns: None,
        private_paths: Vec::new(),
    })
    .unwrap();
    let output = std::process::Command::new(host.zfs()).args(["list", "-H", "-o", "name"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), host.pool());
    let pid = host.pid();
    host.stop().unwrap();
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    assert!(!dir.path().join("pool.img").exists());
}
