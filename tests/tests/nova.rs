//! Disks that OpenStack Nova's own code makes (Debian's python3-nova), the real agent, and the libvirt hook. Needs root.

#![allow(clippy::unwrap_used, reason = "all of this is tests")]

use bootstash_disk::qcow2::read_backing;
use bootstash_tests::guest::TinyGuest;
use bootstash_tests::lab::registration::register;
use bootstash_tests::lab::{Host, IMAGES_DIR, Lab, LabPlan, programs};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tempfile::TempDir;

/// Nova calls a base by the SHA-1 of its image's identifier in Glance.
const BASE: &str = "590874e7c53943a8a1bd50073d640f1700000000";
const GIB: u64 = 1 << 30;
/// Tiny guests need no long quiet time.
const QUICK_CAPTURE: &str =
    "[capture]\naccelerator = \"tcg\"\nquiet = \"1s\"\nquiet_without_signal = \"3s\"\nmemory_mib = 64\n";
const TOUCHED: &str = "touched_dirs = [\"/srv/images/_base\"]\n";

/// A node whose Nova has its instances where the lab has images, with one base, which is registered.
struct Compute {
    lab: Lab,
    instances: TempDir,
}

impl Compute {
    fn new(agent: &str) -> Self {
        let instances = tempfile::tempdir().unwrap();
        fs::set_permissions(instances.path(), Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(instances.path().join("_base")).unwrap();
        TinyGuest::booting(1).write(&instances.path().join("_base").join(BASE)).unwrap();
        let plan = LabPlan::new(1).images_dir(instances.path());
        let plan = plan.registrar(QUICK_CAPTURE).unwrap().agent(agent).unwrap();
        let lab = Lab::build(&plan).unwrap();
        lab.start_daemons().unwrap();
        register(lab.storage(), "tiny", &base(), |_| ()).unwrap();
        lab.wait_in_step().unwrap();
        Self { lab, instances }
    }

    fn node(&self) -> &Host {
        self.lab.host("node1")
    }

    fn base_modified(&self) -> SystemTime {
        self.instances.path().join("_base").join(BASE).metadata().unwrap().modified().unwrap()
    }

    /// Has Nova make the disk of a new instance.
    fn spawn(&self) -> PathBuf {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("ground/nova/make-disk.py");
        let call = self.node().command("/usr/bin/python3", [script.to_str().unwrap(), IMAGES_DIR, BASE, "1"]);
        let said = call.output().unwrap();
        let lines: Vec<_> = said.lines().collect();
        assert_eq!(lines[1], BASE);
        lines[0].into()
    }

    /// Calls the hook as libvirt does; returns what it said.
    fn hook(&self, disk: &Path, operation: &str, sub_operation: &str) -> String {
        let xml = format!(
            "<domain type='kvm'><name>instance-00000001</name><devices><disk type='file' device='disk'>\
             <driver name='qemu' type='qcow2' cache='none'/><source file='{}'/><target dev='vda' bus='virtio'/>\
             </disk></devices></domain>",
            disk.display()
        );
        let file = self.instances.path().join("domain.xml");
        fs::write(&file, xml).unwrap();
        let script = "exec \"$1\" hook libvirt instance-00000001 \"$2\" \"$3\" - <\"$4\"";
        let call = self.node().command("sh", ["-c", script, "hook"]).args([programs::path("bootstash")]);
        let done = call.args([operation, sub_operation]).args([&file]).finish().unwrap();
        assert_eq!(done.code(), 0, "{}", done.stderr);
        done.stderr
    }

    /// What a disk is chained onto, and its size.
    fn chain(&self, disk: &Path) -> (PathBuf, u64) {
        let header = read_backing(&self.node().outside(disk)).unwrap().unwrap();
        (header.backing, header.virtual_size_bytes)
    }
}

fn base() -> PathBuf {
    Path::new(IMAGES_DIR).join("_base").join(BASE)
}

#[test]
fn disks_of_novas_own_making_have_a_boot_cache_while_their_vms_run() {
    let compute = Compute::new(TOUCHED);
    let registered = compute.base_modified();
    let first = compute.spawn();
    assert!(compute.base_modified() > registered, "Nova has not touched it: touched_dirs is of no use then");
    assert_eq!(compute.chain(&first), (base(), GIB));
    let said = compute.hook(&first, "prepare", "begin");
    assert!(said.contains("starts from the boot cache of tiny"), "{said}");

    // While that runs from it, Nova makes another one, and touches the base again.
    let second = compute.spawn();
    compute.hook(&second, "prepare", "begin");
    let overlays = compute.node().overlays().unwrap();
    assert_eq!(overlays.len(), 2);
    for disk in [&first, &second] {
        assert_eq!(compute.chain(disk), (overlays[0].cache.clone(), GIB));
    }
    let read = ["-r", "-f", "qcow2", "-c", "read 0 2M"];
    compute.node().command("qemu-io", read).args([&second]).output().unwrap();

    for disk in [&first, &second] {
        let said = compute.hook(disk, "release", "end");
        assert!(said.contains(&format!("{BASE} again")), "{said}");
        assert_eq!(compute.chain(disk), (base(), GIB));
    }
    assert_eq!(compute.node().overlays().unwrap(), []);
    compute.lab.finish().unwrap();
}

#[test]
fn a_base_that_nova_touched_counts_as_written_to_unless_the_agent_knows() {
    let compute = Compute::new("");
    let disk = compute.spawn();
    let said = compute.hook(&disk, "prepare", "begin");
    assert!(said.contains("left as it was") && said.contains("modification time"), "{said}");
    assert_eq!(compute.chain(&disk), (base(), GIB));
    compute.lab.finish().unwrap();
}
