//! Nodes are given an image after its first boots, and what later boots add after those.

use super::setting::{Setting, assert_says, inside};
use bootstash_delta::catalog::Confidence;
use bootstash_net::api::JobOutcome;
use bootstash_tests::guest::TinyGuest;
use bootstash_tests::lab::registration::register_early;

/// With three profiles to boot on, one processor's round is not all.
const EARLY: &str = "[capture]\naccelerator = 'tcg'\nquiet = '1s'\nboot_timeout = '20s'\nquiet_without_signal = '3s'\nmemory_mib = 64\n";

#[test]
fn nodes_have_an_image_after_its_first_boots_and_the_others_follow() {
    let setting = Setting::without_daemons(1, |plan| plan.registrar(EARLY).unwrap());
    setting.lab.start_daemons().unwrap();
    let (storage, node) = (setting.lab.storage(), setting.lab.host("node1"));
    let source = setting.add("a.raw", &TinyGuest::booting(1));
    let first = register_early(storage, "a", &source).unwrap();
    let JobOutcome::Registered { doubt: Some(doubt), boots, .. } = first.job.outcome.clone().unwrap() else {
        panic!("{first:?}")
    };
    assert!(boots < 4 && doubt.contains("the others follow"), "{first:?}");
    // Asked again, it waits for them.
    let rest = register_early(storage, "a", &source).unwrap();
    assert!(rest.job.follows_up && rest.job.id.0 == first.job.id.0 + 1, "{rest:?}");
    let (_, delta_bytes, all) = rest.facts().unwrap();
    assert!(all == 4 && delta_bytes < first.facts().unwrap().1, "{rest:?}");

    setting.lab.wait_in_step().unwrap();
    for host in [storage, node] {
        let image = host.images().unwrap().pop().unwrap();
        assert_eq!((image.manifest.boots.len(), image.manifest.confidence), (4, Confidence::High));
    }
    assert_eq!(storage.registrar_status().unwrap().snapshots, 2);
    let jobs = storage.bootstash(["jobs"]).unwrap();
    assert_says(&jobs.stdout, &["its other boots, bs-000002"]);
    let unchanged = setting.try_register("a", &inside("a.raw"));
    unchanged.success().unwrap();
    setting.lab.finish().unwrap();
}
