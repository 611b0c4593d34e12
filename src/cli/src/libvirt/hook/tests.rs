//! The hook with an agent that answers, refuses, hangs, or is not there. With a real `qemu-img`: `tests/tests/capture/hook.rs`.

use super::super::samples::{pinned, reply};
use super::*;
use crate::stub::{Stub, refusal};
use axum::extract::Query;
use axum::routing::{get, post};
use axum::{Json, Router};
use bootstash_base::clock;
use bootstash_base::error::ErrorClass;
use bootstash_disk::ImageFormat;
use bootstash_disk::qcow2::{ClusterRuns, Layout, write};
use bootstash_net::api::{OverlayOutcome, OverlayQuery, OverlayReply, OverlayRequest, PinReply, routes};
use bootstash_zfs::Removed;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A domain with these disks and metadata.
fn domain(disks: &[&Path], metadata: &str) -> String {
    let disk = |path: &&Path| {
        format!(
            "<disk type='file'><driver type='qcow2'/><source file='{}'/><target dev='vda'/></disk>",
            path.display()
        )
    };
    let disks: String = disks.iter().map(disk).collect();
    format!("<domain><name>vm</name><metadata>{metadata}</metadata><devices>{disks}</devices></domain>")
}

fn ours(element: &str) -> String {
    format!("<b:{element} xmlns:b='https://bootstash.org/libvirt/1'/>")
}

/// A disk that is chained onto `base`.
fn disk(dir: &tempfile::TempDir, base: &str) -> PathBuf {
    let path = dir.path().canonicalize().unwrap().join("a.qcow2");
    let layout =
        Layout::new(1 << 20, Vec::new(), ClusterRuns::default(), Path::new(base), ImageFormat::Raw).unwrap();
    write(&layout, |_, _| Ok(()), &mut File::create(&path).unwrap()).unwrap();
    path
}

async fn lines_of(stub: &Stub, moment: Moment, xml: &str) -> Vec<String> {
    Hook::new(&stub.daemons()).run(moment, xml).await
}

#[tokio::test]
async fn what_is_chained_already_is_pinned_and_left() {
    let dir = tempfile::tempdir().unwrap();
    let path = disk(&dir, "/srv/a.raw");
    let app = Router::new().route(
        routes::PINS,
        post(|Json(query): Json<OverlayQuery>| async move {
            let mut reply = reply(true);
            reply.overlay.path = query.path;
            Json(reply)
        }),
    );
    let before = std::fs::read(&path).unwrap();
    let lines = lines_of(&Stub::agent(app), Moment::Prepare, &domain(&[&path], "")).await;
    assert_eq!(lines, [format!("bootstash: vm: {}: starts from the boot cache of alpine", path.display())]);
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_refusal_leaves_the_disk_and_says_why_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = disk(&dir, "/srv/a.raw");
    let refused = || async { refusal(409, "the base changed", ErrorClass::Operator) };
    let stub = Stub::agent(Router::new().route(routes::PINS, post(refused)));
    let before = std::fs::read(&path).unwrap();
    let lines = lines_of(&stub, Moment::Prepare, &domain(&[&path], "")).await;
    assert_eq!(lines, [format!("bootstash: vm: {}: left as it was: the base changed", path.display())]);
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn without_an_agent_the_disk_is_left() {
    let (dir, nobody) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = disk(&dir, "/srv/a.raw");
    let socket = |name: &str| nobody.path().join(name);
    let daemons = Daemons::new(socket("r.sock"), socket("a.sock"), None);
    for moment in [Moment::Prepare, Moment::Release] {
        let lines = Hook::new(&daemons).run(moment, &domain(&[&path], "")).await;
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        assert!(line.contains("left as it was: there is no agent on this host"), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_hangs_is_given_up_and_all_disks_together_take_no_longer() {
    clock::set(|| chrono::DateTime::UNIX_EPOCH);
    let dir = tempfile::tempdir().unwrap();
    let path = disk(&dir, "/srv/a.raw");
    let app = Router::new()
        .route(routes::PINS, post(std::future::pending::<Json<PinReply>>))
        .route(routes::OVERLAYS, get(std::future::pending::<Json<()>>));
    let stub = Stub::agent(app);
    for moment in [Moment::Prepare, Moment::Release] {
        let begun = Instant::now();
        let lines = lines_of(&stub, moment, &domain(&[&path, &path, &path], "")).await;
        assert!(begun.elapsed() <= WHOLE + Duration::from_millis(1), "{:?}", begun.elapsed());
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines.iter().all(|line| line.ends_with("there was no answer within 2500 ms")), "{lines:?}");
    }
    clock::set(chrono::Utc::now);
}

#[tokio::test]
async fn metadata_make_the_first_missing_disk() {
    let dir = tempfile::tempdir().unwrap();
    let made = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&made);
    let create = move |Json(request): Json<OverlayRequest>| async move {
        counted.fetch_add(1, Ordering::Relaxed);
        assert_eq!(request.image, "alpine");
        let mut overlay = super::super::samples::view();
        overlay.path = request.path;
        Json(OverlayReply { overlay, outcome: OverlayOutcome::Created })
    };
    let stub = Stub::agent(Router::new().route(routes::OVERLAYS, post(create)));
    let (first, second) = (dir.path().join("a.qcow2"), dir.path().join("b.qcow2"));
    let xml = domain(&[&first, &second], &ours("image name='alpine'"));
    let lines = lines_of(&stub, Moment::Prepare, &xml).await;
    assert_eq!(lines, [format!("bootstash: vm: {}: was made, of image alpine", first.display())]);
    assert_eq!(made.load(Ordering::Relaxed), 1);
}

/// An agent that is not there would be told of.
#[tokio::test]
async fn what_is_no_business_of_ours_is_passed_over_in_silence() {
    let dir = tempfile::tempdir().unwrap();
    let daemons = Daemons::new(dir.path().join("r"), dir.path().join("a"), None);
    let path = disk(&dir, "/srv/a.raw");
    let run = async |moment, xml: &str| Hook::new(&daemons).run(moment, xml).await;
    let alone = dir.path().join("alone");
    std::fs::write(&alone, "no qcow2").unwrap();
    let off = domain(&[&path], &ours("cache mode='off'"));
    let raw = domain(&[&path], "").replace("qcow2'/><s", "raw'/><s");
    for xml in [&off, &raw, &domain(&[&alone], ""), &domain(&[], "")] {
        assert_eq!(run(Moment::Prepare, xml).await, Vec::<String>::new(), "{xml}");
    }
    assert_eq!(run(Moment::Release, &raw).await, Vec::<String>::new());
    let explicit = domain(&[&path], "").replace("<target", "<backingStore/><target");
    let lines = run(Moment::Prepare, &explicit).await;
    assert!(
        lines[0].ends_with("left as it was: the domain's XML has a <backingStore> that settles its chain"),
        "{lines:?}"
    );
    assert!(run(Moment::Prepare, "<domain").await[0].contains("cannot be read"));
}

#[tokio::test]
async fn a_pin_that_was_never_chained_onto_ends_with_the_vm() {
    let dir = tempfile::tempdir().unwrap();
    let path = disk(&dir, "/srv/a.raw");
    let (listed, unpinned) = (path.clone(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&unpinned);
    let app = Router::new()
        .route(
            routes::OVERLAYS,
            get(|| async move {
                let mut status = pinned(true);
                status.overlay.path = listed;
                Json(vec![status])
            }),
        )
        .route(
            routes::PINS,
            axum::routing::delete(|Query(_): Query<OverlayQuery>| async move {
                counted.fetch_add(1, Ordering::Relaxed);
                Json(Removed::Removed)
            }),
        );
    let lines = lines_of(&Stub::agent(app), Moment::Release, &domain(&[&path], "")).await;
    assert_eq!((lines, unpinned.load(Ordering::Relaxed)), (Vec::new(), 1));
}

#[test]
fn only_two_moments_count() {
    assert_eq!(Moment::of("prepare", "begin"), Some(Moment::Prepare));
    assert_eq!(Moment::of("release", "end"), Some(Moment::Release));
    for (operation, sub_operation) in
        [("start", "begin"), ("started", "begin"), ("stopped", "end"), ("migrate", "begin")]
    {
        assert_eq!(Moment::of(operation, sub_operation), None);
    }
}
