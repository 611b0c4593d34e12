//! The lab itself: hosts apart from each other and from the machine, and no trace left, whatever
//! happens to its builder.

use bootstash_tests::lab::record::{LabRecord, remove_abandoned};
use bootstash_tests::lab::refusing::RefusingImages;
use bootstash_tests::lab::run::Call;
use bootstash_tests::lab::{IMAGES_DIR, Lab, LabPlan, programs, wait};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the machine shows that a lab could leave behind.
fn machine() -> Vec<String> {
    let links = Call::new("ip").args(["-o", "-br", "link"]).output().unwrap();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let dirs = ["/etc/bootstash", "/var/lib/bootstash", "/run/bootstash", IMAGES_DIR];
    let dirs = dirs.map(|dir| format!("{dir}: {}", Path::new(dir).exists()));
    [links, mounts].into_iter().chain(dirs).collect()
}

fn images() -> tempfile::TempDir {
    let images = tempfile::tempdir().unwrap();
    fs::write(images.path().join("a.raw"), vec![7; 100_000]).unwrap();
    images
}

#[test]
fn hosts_are_apart_and_leave_nothing() {
    let before = machine();
    let images = images();
    let lab = Lab::build(&LabPlan::new(2).images_dir(images.path())).unwrap();
    let (one, two) = (lab.host("node1"), lab.host("node2"));

    assert_eq!(one.command("hostname", [""; 0]).output().unwrap(), "node1\n");
    assert_eq!(one.command("cat", ["/srv/images/a.raw"]).output().unwrap().len(), 100_000);
    one.command("touch", ["/run/bootstash/x"]).output().unwrap();
    assert!(two.command("ls", ["/run/bootstash/x"]).finish().unwrap().failure().is_ok());

    let pools = |host: &bootstash_tests::lab::Host| {
        host.command("/usr/sbin/zpool", ["list", "-H", "-o", "name"]).output().unwrap()
    };
    assert_eq!(pools(one).trim(), one.pool());
    assert_ne!(one.pool(), two.pool());
    let dataset = one.dataset();
    one.command("/usr/sbin/zfs", ["create", "-o", "mountpoint=/var/lib/bootstash/m", &dataset])
        .output()
        .unwrap();
    one.command("touch", ["/var/lib/bootstash/m/file"]).output().unwrap();
    assert!(one.outside("/var/lib/bootstash/m/file").exists());
    assert!(!Path::new("/var/lib/bootstash/m").exists());

    drop(lab);
    assert_eq!(machine(), before);
}

#[test]
fn hosts_reach_each_other_and_nobody_else() {
    let images = images();
    let lab = Lab::build(&LabPlan::new(1).images_dir(images.path())).unwrap();
    let (storage, node) = (lab.storage(), lab.host("node1"));
    let before = node.traffic().unwrap();
    // Nobody listens: that the refusal comes shows that both directions work.
    let connect = format!("exec 3<>/dev/tcp/{}/9", storage.address());
    let error = node.command("bash", ["-c", &connect]).finish().unwrap().failure().unwrap();
    assert!(error.contains("Connection refused"), "{error}");
    let after = node.traffic().unwrap();
    assert!(after.sent_bytes > before.sent_bytes && after.received_bytes > before.received_bytes);
    let routes = node.command("ip", ["route", "show", "default"]).output().unwrap();
    assert_eq!(routes, "");
}

#[test]
fn goes_when_its_builder_is_killed() {
    let before = machine();
    let log = tempfile::tempdir().unwrap();
    let log = log.path().join("log");
    let mut builder = Call::new(programs::path("lab")).args(["hold"]).start(&log).unwrap();
    let dir = wait::until("the lab to stand", Duration::from_secs(60), || {
        let said = fs::read_to_string(&log)?;
        Ok(said.ends_with('\n').then(|| PathBuf::from(said.trim_end())))
    })
    .unwrap();
    let find = || LabRecord::all().unwrap().into_iter().find(|record| record.dir() == dir);
    let record = find().unwrap();
    assert!(record.runs());

    builder.kill();
    wait::until("its hosts to end", Duration::from_secs(30), || {
        Ok(record.hosts.iter().all(|host| !host.init.unwrap().runs()).then_some(()))
    })
    .unwrap();
    assert!(find().unwrap().is_abandoned());
    remove_abandoned().unwrap();
    assert!(!dir.exists());
    assert_eq!(machine(), before);
}

#[test]
fn refusing_images_can_be_seen_but_not_read() {
    let images = images();
    let lab = Lab::build(&LabPlan::new(2).images_dir(images.path())).unwrap();
    let (node, other) = (lab.host("node1"), lab.host("node2"));
    let stat = |host: &bootstash_tests::lab::Host| {
        host.command("stat", ["-c", "%s %y %F", "/srv/images/a.raw"]).output().unwrap()
    };
    let read = |host: &bootstash_tests::lab::Host| {
        host.command("dd", ["if=/srv/images/a.raw", "of=/dev/null", "bs=4096", "count=3"]).finish().unwrap()
    };
    let before = stat(node);

    let refusing = RefusingImages::on(node).unwrap();
    assert_eq!(stat(node), before);
    assert_eq!(node.command("ls", [IMAGES_DIR]).output().unwrap(), "a.raw\n");
    assert_eq!(refusing.counts().unwrap().bytes, 0);
    let error = read(node).failure().unwrap();
    assert!(error.contains("Input/output error"), "{error}");
    let counts = refusing.counts().unwrap();
    assert_eq!((counts.reads, counts.bytes), (1, 4096));
    read(other).success().unwrap();

    drop(refusing);
    read(node).success().unwrap();
}
