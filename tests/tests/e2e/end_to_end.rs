//! The main path, end to end: register, hold everywhere, boot without the base.

use crate::running::{ReadingVm, everything_changes_under};
use crate::setting::{Setting, assert_says};
use bootstash_tests::guest::TinyGuest;
use bootstash_tests::lab::plan::images_cache;
use bootstash_tests::lab::registration::register;
use bootstash_tests::lab::run::Call;
use bootstash_tests::lab::warm_boot::{Vm, warm_boot};
use bootstash_tests::lab::{Lab, LabPlan, Program};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

#[test]
fn a_real_guest_boots_on_every_node_without_its_base() {
    let images = tempfile::tempdir().unwrap();
    std::fs::set_permissions(images.path(), Permissions::from_mode(0o755)).unwrap();
    let alpine = [images_cache().join("alpine.raw"), images.path().join("alpine.raw")];
    Call::new("cp").args(["--sparse=always"]).args(&alpine).output().unwrap();
    TinyGuest::booting(1).write(&images.path().join("other.raw")).unwrap();
    let plan =
        LabPlan::new(2).images_dir(images.path()).registrar("[capture]\naccelerator = \"tcg\"\n").unwrap();
    let lab = Lab::build(&plan).unwrap();
    lab.start_daemons().unwrap();
    let registered = register(lab.storage(), "alpine", "/srv/images/alpine.raw".as_ref(), |_| ()).unwrap();
    let (cache_bytes, delta_bytes, boots) = registered.facts().unwrap();
    assert!(cache_bytes > 10 << 20 && delta_bytes > 5 << 20 && boots >= 2, "{registered:?}");
    let other = Path::new("/srv/images/other.raw");
    register(lab.storage(), "other", other, |_| ()).unwrap();
    lab.wait_in_step().unwrap();
    for node in lab.nodes() {
        assert_eq!(node.image_names().unwrap(), ["alpine", "other"]);
    }
    let boots = std::thread::scope(|scope| {
        let threads: Vec<_> =
            lab.nodes().iter().map(|node| scope.spawn(|| warm_boot(node, "alpine").unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    for boot in boots {
        assert_eq!((boot.base_bytes_read, boot.base_reads), (0, Vec::new()));
    }

    // A guest goes on while every daemon is killed, from its boot loader on.
    let node = lab.host("node1");
    let vm = Vm::start(node, "alpine").unwrap();
    vm.wait_for_console().unwrap();
    node.kill(Program::Agent);
    lab.storage().kill(Program::Registrar);
    lab.expect_log("registrar");
    vm.wait_for_prompt().unwrap();
    lab.storage().start(Program::Registrar).unwrap();
    node.start(Program::Agent).unwrap();
    lab.wait_in_step().unwrap();

    let vm = ReadingVm::begin(vm).unwrap();
    everything_changes_under(&vm, &lab, "alpine", other).unwrap();
    vm.end().unwrap();
    let status = node.agent_status().unwrap();
    assert_eq!((status.overlays, status.views, status.replaced), (0, 0, Vec::new()));
    lab.finish().unwrap();
}

/// What QEMU alone reads: for the capture it is converted, a VM opens it as it is.
#[test]
fn a_real_guest_boots_from_a_vmdk_and_from_a_compressed_qcow2_with_subclusters() {
    let images = tempfile::tempdir().unwrap();
    std::fs::set_permissions(images.path(), Permissions::from_mode(0o755)).unwrap();
    let alpine = images_cache().join("alpine.raw");
    let forms: [(&str, &[&str]); 2] = [
        ("alpine.vmdk", &["-O", "vmdk", "-o", "subformat=streamOptimized"]),
        ("alpine.qcow2", &["-O", "qcow2", "-c", "-o", "compression_type=zstd,extended_l2=on"]),
    ];
    for (file, options) in forms {
        let call = Call::new("qemu-img").args(["convert", "-f", "raw"]).args(options);
        call.args([&alpine, &images.path().join(file)]).output().unwrap();
    }
    // Where the bytes come from is not a matter of hardware, which takes a boot for each.
    let config = "[capture]\naccelerator = \"tcg\"\nprofiles = [\"libvirt\"]\n";
    let plan = LabPlan::new(1).images_dir(images.path()).registrar(config).unwrap();
    let lab = Lab::build(&plan).unwrap();
    lab.start_daemons().unwrap();
    for (name, (file, _)) in ["vmdk", "qcow2"].into_iter().zip(forms) {
        let registered = register(lab.storage(), name, &Path::new("/srv/images").join(file), |_| ()).unwrap();
        assert!(registered.facts().unwrap().0 > 10 << 20, "{registered:?}");
    }
    lab.wait_in_step().unwrap();
    for name in ["vmdk", "qcow2"] {
        let vm = Vm::start(lab.host("node1"), name).unwrap();
        vm.wait_for_prompt().unwrap();
        vm.end().unwrap();
    }
    lab.finish().unwrap();
}

#[test]
fn overlays_share_a_view_and_outlive_an_agent() {
    let setting = Setting::new(1);
    let node = setting.lab.host("node1");
    setting.register("a", 1);
    setting.lab.wait_in_step().unwrap();
    let create = |path: &str| node.bootstash(["overlay", "create", "a", path]).unwrap();
    create("/var/lib/bootstash/one.qcow2").success().unwrap();
    create("/var/lib/bootstash/two.qcow2").success().unwrap();

    let overlays = node.overlays().unwrap();
    assert_eq!(overlays.len(), 2);
    assert_eq!(overlays[0].cache, overlays[1].cache);
    assert_eq!(node.agent_status().unwrap().views, 1);
    let chain = node.command("qemu-img", ["info", "-U", "--backing-chain", "/var/lib/bootstash/one.qcow2"]);
    assert_says(&chain.output().unwrap(), &["cache.qcow2", "/srv/images/a.raw"]);

    let again = create("/var/lib/bootstash/one.qcow2").success().unwrap();
    assert_says(&again, &["one.qcow2", "nothing changed"]);
    let larger = ["overlay", "create", "a", "/var/lib/bootstash/one.qcow2", "--size", "1T"];
    assert_says(&node.bootstash(larger).unwrap().failure().unwrap(), &["one.qcow2", "exists"]);

    node.kill(Program::Agent);
    node.start(Program::Agent).unwrap();
    assert_eq!(node.overlays().unwrap(), overlays);
    chain.output().unwrap();

    let remove = |path: &str| node.bootstash(["overlay", "remove", path]).unwrap().success().unwrap();
    remove("/var/lib/bootstash/one.qcow2");
    assert_eq!(node.agent_status().unwrap().views, 1);
    chain.finish().unwrap().failure().unwrap();
    remove("/var/lib/bootstash/two.qcow2");
    assert_eq!(node.agent_status().unwrap().views, 0);
    assert_says(&remove("/var/lib/bootstash/two.qcow2"), &["nothing changed"]);
    setting.lab.finish().unwrap();
}

#[test]
fn two_machines_boot_from_one_view_without_the_base() {
    let setting = Setting::new(1);
    setting.register("a", 1);
    setting.lab.wait_in_step().unwrap();
    let node = setting.lab.host("node1");
    let first = Vm::start(node, "a").unwrap();
    first.wait_for_prompt().unwrap();
    let boot = warm_boot(node, "a").unwrap();
    assert_eq!((boot.base_bytes_read, boot.base_reads), (0, Vec::new()));
    let second = Vm::start(node, "a").unwrap();
    second.wait_for_prompt().unwrap();
    let status = node.agent_status().unwrap();
    assert_eq!((status.overlays, status.views), (2, 1));
    first.end().unwrap();
    second.end().unwrap();
    assert_eq!(node.agent_status().unwrap().overlays, 0);
    setting.lab.finish().unwrap();
}

#[test]
fn a_base_that_changed_is_refused() {
    let setting = Setting::new(1);
    setting.register("a", 1);
    setting.lab.wait_in_step().unwrap();
    let file = std::fs::File::options().write(true).open(setting.file("a.raw")).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let node = setting.lab.host("node1");
    let made = node.bootstash(["overlay", "create", "a", "/var/lib/bootstash/x.qcow2"]).unwrap();
    assert_says(&made.failure().unwrap(), &["/srv/images/a.raw", "changed"]);
    assert!(!node.outside("/var/lib/bootstash/x.qcow2").exists());
    assert_eq!(node.overlays().unwrap(), []);
    setting.lab.finish().unwrap();
}
