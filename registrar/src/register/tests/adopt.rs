//! Caches that another registrar made, instead of a boot.

use super::*;

#[tokio::test]
async fn an_adopted_cache_is_registered_without_a_boot() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path(), Arc::new(FakeZfs::new())).await;
    let job = bench.submit_as(&request_with("debian", "/mnt/cache.qcow2")).await;
    bench.runner.start(job);
    assert!(matches!(bench.outcome(job).await, JobOutcome::Registered { boots: 0, .. }));
    assert_eq!(bench.capturer.adopted(), [Path::new("/mnt/cache.qcow2")]);
    let manifest = catalog::read_manifest(&bench.layout.mountpoint, &"debian".parse().unwrap()).unwrap();
    assert_eq!((manifest.boots.len(), manifest.accelerator.as_str()), (0, "none"));
    assert_eq!(manifest.confidence, catalog::Confidence::Low);
    assert_eq!(std::fs::read_dir(bench.layout.work()).unwrap().count(), 0);
    bench.close().await;
}

#[tokio::test]
async fn a_restarted_registrar_still_adopts_and_older_records_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let zfs = Arc::new(FakeZfs::new());
    let bench = Bench::open(dir.path(), zfs.clone()).await;
    let adopting = bench.submit_as(&request_with("debian", "/mnt/cache.qcow2")).await;
    let older = bench.submit("alpine").await;
    let record = bench.layout.jobs.join(format!("{older}.json"));
    bench.close().await;
    let text = std::fs::read_to_string(&record).unwrap().replace("\"cache\": null,", "");
    assert!(!text.contains("cache"), "{text}");
    std::fs::write(&record, text).unwrap();

    let bench = Bench::open(dir.path(), zfs).await;
    for job in [adopting, older] {
        bench.runner.start(job);
        assert!(matches!(bench.outcome(job).await, JobOutcome::Registered { .. }));
    }
    assert_eq!(bench.capturer.adopted(), [Path::new("/mnt/cache.qcow2")]);
    bench.close().await;
}

#[tokio::test]
async fn an_adopted_cache_that_does_not_pass_is_named_and_leaves_nothing() {
    for step in [Step::Capture, Step::Verify] {
        let dir = tempfile::tempdir().unwrap();
        let bench = Bench::open(dir.path(), Arc::new(FakeZfs::new())).await;
        bench.capturer.fail_at(step);
        let job = bench.submit_as(&request_with("debian", "/mnt/cache.qcow2")).await;
        bench.runner.start(job);
        let JobOutcome::Failed { step: failed, error, .. } = bench.outcome(job).await else {
            panic!("{step}")
        };
        assert_eq!(failed, step);
        assert_eq!(error.contains("adopted from /mnt/cache.qcow2"), step == Step::Verify, "{error}");
        assert!(bench.images().is_empty());
        assert_eq!(std::fs::read_dir(bench.layout.work()).unwrap().count(), 0);
        bench.close().await;
    }
}

#[tokio::test]
async fn one_name_takes_one_cache_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path(), Arc::new(FakeZfs::new())).await;
    let job = bench.submit_as(&request_with("debian", "/mnt/a.qcow2")).await;
    let again = async |request: &RegisterRequest| bench.jobs.submit("debian".parse().unwrap(), request).await;
    assert_eq!(again(&request_with("debian", "/mnt/a.qcow2")).await.unwrap(), Submitted::UnderWay(job));
    for other in [request_with("debian", "/mnt/b.qcow2"), request("debian")] {
        let error = again(&other).await.unwrap_err();
        assert_eq!(bootstash_base::error::Classified::kind(&error), ErrorClass::Busy);
        assert!(error.to_string().contains("debian.raw with the cache /mnt/a.qcow2 right now"), "{error}");
    }
    bench.close().await;
}
