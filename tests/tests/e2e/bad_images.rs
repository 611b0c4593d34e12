//! Sources that cannot be registered: an error that names the file and the remedy, and no trace.

use crate::setting::{Setting, assert_says, inside};
use bootstash_disk::qcow2::hostile::{Hostile, vmdk_descriptor};
use bootstash_tests::guest::TinyGuest;
use bootstash_tests::lab::run::Call;
use bootstash_tests::lab::{Program, wait};
use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

fn qemu_img(args: &[&str], file: &Path, size: &[&str]) {
    Call::new("qemu-img").args(args).args([file]).args(size).output().unwrap();
}

/// Tries to register the image `file`, which must fail with these words.
fn refused(setting: &Setting, file: &str, words: &[&str]) {
    // A registration that fails is for the operator to see.
    setting.lab.expect_log(file);
    let error = setting.try_register("bad", &inside(file)).failure().unwrap();
    assert_says(&error, &[file]);
    assert_says(&error, words);
    setting.assert_untouched();
}

#[test]
fn sources_that_are_no_image_of_their_own() {
    let setting = Setting::new(0);
    refused(&setting, "missing.raw", &["does not exist"]);
    fs::create_dir(setting.file("directory")).unwrap();
    refused(&setting, "directory", &["not a regular file"]);

    TinyGuest::booting(1).write(&setting.file("base.raw")).unwrap();
    let whole = setting.file("truncated.qcow2");
    let base = setting.file("base.raw");
    Call::new("qemu-img").args(["convert", "-O", "qcow2"]).args([&base, &whole]).output().unwrap();
    let length = fs::metadata(&whole).unwrap().len();
    File::options().write(true).open(&whole).unwrap().set_len(length / 2).unwrap();
    refused(&setting, "truncated.qcow2", &["truncated", "copy it again"]);

    let backing = format!("backing_file={},backing_fmt=raw", base.display());
    qemu_img(&["create", "-f", "qcow2", "-o", &backing], &setting.file("backed.qcow2"), &[]);
    refused(&setting, "backed.qcow2", &["backing file", "qemu-img convert"]);

    let data = format!("data_file={}", setting.file("data").display());
    qemu_img(&["create", "-f", "qcow2", "-o", &data], &setting.file("split.qcow2"), &["4M"]);
    refused(&setting, "split.qcow2", &["data file", "qemu-img convert"]);
    refuse_attacks(&setting);
    setting.lab.finish().unwrap();
}

/// The whole way: an operator who registers an untrusted image.
fn refuse_attacks(setting: &Setting) {
    let secret = "/etc/shadow";
    fs::write(setting.file("passwd.qcow2"), Hostile::default().data_file(secret).bytes()).unwrap();
    refused(setting, "passwd.qcow2", &["data file", "qemu-img convert"]);
    fs::write(setting.file("turned.raw"), Hostile::default().backing(secret).bytes()).unwrap();
    refused(setting, "turned.raw", &["backing file"]);
    fs::write(setting.file("flat.vmdk"), vmdk_descriptor(secret)).unwrap();
    refused(setting, "flat.vmdk", &["vmdk", "qemu-img convert"]);
    fs::write(setting.file("bomb.qcow2"), Hostile::default().one_cluster_everywhere().bytes()).unwrap();
    refused(setting, "bomb.qcow2", &["1048576 bytes of data", "made to do harm"]);
    let error = setting.try_register("bad", Path::new("http://images/a.raw")).failure().unwrap();
    assert_says(&error, &["http://images/a.raw is a URL"]);
    setting.assert_untouched();
}

#[test]
fn an_image_that_never_boots() {
    let setting = Setting::new(0);
    // It reads for ever, so that it is not quiet either: only the limit ends it.
    let lines = "\r\nfirst line\r\nKernel panic - not syncing: no root\r\n";
    setting.add("panic.raw", &TinyGuest::printing(lines));
    refused(&setting, "panic.raw", &["panic", "no root"]);
    fs::write(setting.file("empty.raw"), vec![0; 1 << 20]).unwrap();
    refused(&setting, "empty.raw", &["boot"]);
    setting.lab.finish().unwrap();
}

#[test]
fn a_pool_that_is_full() {
    let setting = Setting::without_daemons(0, |plan| plan.pool_bytes(128 << 20));
    let storage = setting.lab.storage();
    storage.start(Program::Registrar).unwrap();
    let filler = format!("{}/filler", storage.pool());
    let zfs = |args: &[&str]| storage.command("/usr/sbin/zfs", args).output().unwrap();
    zfs(&["create", "-o", "mountpoint=/run/bootstash/filler", &filler]);
    let fill = ["if=/dev/urandom", "of=/run/bootstash/filler/x", "bs=1M", "conv=fsync"];
    storage.command("dd", fill).finish().unwrap().failure().unwrap();

    let big = TinyGuest { clusters: 160, ..TinyGuest::booting(1) };
    let source = setting.add("big.raw", &big);
    setting.lab.expect_log("big");
    let error = setting.try_register("big", &source).failure().unwrap();
    assert_says(&error, &["big", "import", "space"]);
    // A FUSE file system is unmounted a moment after the command for it ends.
    let destroy = storage.command("/usr/sbin/zfs", ["destroy", &filler]);
    wait::until("the filler to go", Duration::from_secs(20), || destroy.output().map(Some)).unwrap();
    setting.assert_untouched();
    setting.try_register("big", &source).success().unwrap();
    setting.lab.finish().unwrap();
}
