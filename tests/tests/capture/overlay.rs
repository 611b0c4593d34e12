//! The overlays that we write, beside those that `qemu-img` makes: QEMU is not to tell them apart.

use bootstash_qemu::Qemu;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// A disk of one cluster, one whose second-level tables are several, and one with a first-level table of two clusters.
const DISKS_BYTES: [u64; 4] = [512, 10 << 20, (3 << 30) + 512, (17 << 40) + 4096];
const CACHE_BYTES: u64 = 1 << 20;

fn run(program: &str, args: &[&str], dir: &Path) -> String {
    let output = Command::new(program).args(args).current_dir(dir).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {args:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// What QEMU says of a file, but for its name and its place on the disk.
fn info(file: &str, dir: &Path) -> Value {
    let mut info: Value =
        serde_json::from_str(&run("qemu-img", &["info", "--output=json", file], dir)).unwrap();
    for of_the_file in ["filename", "actual-size", "children"] {
        info.as_object_mut().unwrap().remove(of_the_file);
    }
    info
}

fn write_as_a_guest(file: &str, disk_bytes: u64, dir: &Path) {
    let last = disk_bytes - 512;
    let middle = last / 2 / 4096 * 4096;
    for write in [format!("write -P 1 {last} 512"), format!("write -P 2 {middle} 512"), "flush".to_owned()] {
        run("qemu-io", &["-c", &write, file], dir);
    }
}

#[tokio::test]
async fn qemu_takes_them_for_its_own() {
    let (place, qemu) = (tempfile::tempdir().unwrap(), Qemu::find().unwrap());
    let dir = place.path();
    let cache = dir.join("cache, of an image.qcow2");
    let name = cache.to_str().unwrap();
    run("qemu-img", &["create", "-qf", "qcow2", name, &CACHE_BYTES.to_string()], dir);
    run("qemu-io", &["-c", "write -P 7 64k 128k", name], dir);
    for disk_bytes in DISKS_BYTES {
        let (ours, theirs, size) =
            (format!("ours-{disk_bytes}"), format!("theirs-{disk_bytes}"), disk_bytes.to_string());
        qemu.create_overlay(&dir.join(&ours), &cache, disk_bytes).await.unwrap();
        let options = ["-o", "cluster_size=128k,extended_l2=on", "-F", "qcow2", "-b", name];
        let create = [&["create", "-quf", "qcow2"], &options[..], &[&theirs, &size]].concat();
        run("qemu-img", &create, dir);
        assert_eq!(info(&ours, dir), info(&theirs, dir));
        for file in [&ours, &theirs] {
            run("qemu-img", &["check", "-q", file], dir);
            write_as_a_guest(file, disk_bytes, dir);
            run("qemu-img", &["check", "-q", file], dir);
        }
        run("qemu-img", &["compare", "-s", &ours, &theirs], dir);
        assert_eq!(info(&ours, dir), info(&theirs, dir));
    }
}
