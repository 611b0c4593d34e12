//! A registrar that dies, and registrations in all forms.

use crate::setting::Setting;
use bootstash_net::api::Step;
use bootstash_tests::guest::TinyGuest;
use bootstash_tests::lab::run::Call;
use bootstash_tests::lab::{Program, wait};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

#[test]
fn a_registrar_killed_in_a_capture_goes_on_or_cleans_up() {
    let setting = Setting::new(1);
    let storage = setting.lab.storage();
    let source = setting.add("a.raw", &TinyGuest::booting(1));
    let detached = storage.command("bootstash", ["register", "a", "--detach"]).args([&source]);
    detached.output().unwrap();
    wait::until("the capture to begin", SOON, || {
        Ok(storage.jobs()?.iter().any(|job| job.step == Step::Capture).then_some(()))
    })
    .unwrap();
    storage.kill(Program::Registrar);
    setting.lab.expect_log("a");
    storage.start(Program::Registrar).unwrap();
    wait::until("the job to end", SOON, || {
        Ok(storage.jobs()?.iter().all(|job| job.outcome.is_some()).then_some(()))
    })
    .unwrap();
    // Whether it went on or cleaned up: what is there now is whole, and the same command is a success.
    setting.try_register("a", &source).success().unwrap();
    setting.lab.wait_in_step().unwrap();
    assert_eq!(setting.lab.host("node1").image_names().unwrap(), ["a"]);
    let qemus = storage.command("pgrep", ["-c", "qemu-system"]).finish().unwrap();
    assert_eq!(qemus.stdout.trim(), "0");
    setting.lab.finish().unwrap();
}

#[test]
fn several_images_at_once_and_a_qcow2_among_them() {
    let setting = Setting::new(1);
    let storage = setting.lab.storage();
    let raw = setting.add("a.raw", &TinyGuest::booting(1));
    setting.add("b.raw", &TinyGuest::booting(2));
    let (from, to) = (setting.file("b.raw"), setting.file("b.qcow2"));
    Call::new("qemu-img").args(["convert", "-O", "qcow2"]).args([&from, &to]).output().unwrap();
    let qcow2 = crate::setting::inside("b.qcow2");
    std::thread::scope(|scope| {
        let first = scope.spawn(|| setting.try_register("a", &raw).success().unwrap());
        let second = scope.spawn(|| setting.try_register("b", &qcow2).success().unwrap());
        first.join().unwrap();
        second.join().unwrap();
    });
    setting.lab.wait_in_step().unwrap();
    assert_eq!(storage.image_names().unwrap(), ["a", "b"]);
    assert_eq!(setting.lab.host("node1").image_names().unwrap(), ["a", "b"]);
    setting.lab.finish().unwrap();
}
