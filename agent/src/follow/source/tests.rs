//! The promises of a [`DeltaSource`], kept by each; and the order in which they are asked.

use super::flaky::{Fault, FlakySource};
use super::*;
use crate::metrics::Metrics;
use crate::testing::{DownloadFault, StubPeer, StubRegistrar};
use bootstash_base::error::{Classified, ErrorClass};
use bootstash_net::api::{Client, Dialer, Endpoint};
use tempfile::TempDir;

/// A registrar with a delta of 300 kB, and a directory to fetch into.
struct Bench {
    dir: TempDir,
    registrar: StubRegistrar,
    record: DeltaRecord,
    bytes: Vec<u8>,
}

impl Bench {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut registrar = StubRegistrar::new(dir.path()).await;
        registrar.start_serving().await;
        registrar.publish(&["alpine"]).await;
        registrar.publish(&["debian12"]).await;
        let (record, path) = registrar.newest_delta();
        let bytes = std::fs::read(path).unwrap();
        Self { dir, registrar, record, bytes }
    }

    fn client(&self) -> Client {
        Client::new(Endpoint::Tcp(self.registrar.address())).unwrap()
    }

    fn file(&self) -> PartialFile<'_> {
        PartialFile::of(&self.record, self.dir.path()).unwrap()
    }

    fn flaky(&self, faults: impl IntoIterator<Item = Fault>) -> FlakySource {
        FlakySource::new(&self.bytes, faults)
    }

    fn peer_source(&self) -> PeerSource {
        PeerSource::new(self.client(), Dialer::without_tls(), Metrics::new())
    }
}

/// As the follower does: what may pass is tried again.
async fn until_whole(source: &mut dyn DeltaSource, file: &PartialFile<'_>) {
    for _ in 0..5 {
        match source.fetch(file).await {
            Ok(Progress::Whole) => return,
            Ok(Progress::Partial) => (),
            Err(error) => assert_eq!(error.kind(), ErrorClass::Transient, "{error}"),
        }
    }
    panic!("{source:?} does not get there");
}

/// What each source promises, from an empty file, from half of one, from one that is too long, and from a whole one.
async fn keeps_the_promises(bench: &Bench, source: &mut dyn DeltaSource) {
    let half = &bench.bytes[..bench.bytes.len() / 2];
    let too_long = [&bench.bytes[..], b"more"].concat();
    for before in [None, Some(half), Some(&too_long), Some(&bench.bytes)] {
        let file = bench.file();
        let _ = std::fs::remove_file(file.path());
        if let Some(before) = before {
            std::fs::write(file.path(), before).unwrap();
        }
        until_whole(source, &file).await;
        file.verify().await.unwrap();
    }
}

#[tokio::test]
async fn the_registrar_keeps_the_promises() {
    let bench = Bench::new().await;
    bench.registrar.spoil_next_download(DownloadFault::EndAfter(5000));
    bench.registrar.spoil_next_download(DownloadFault::EndAfter(100_000));
    keeps_the_promises(&bench, &mut RegistrarSource::new(bench.client())).await;
    let half = bench.bytes.len() / 2;
    assert_eq!(bench.registrar.offsets(), [0, 5000, 105_000, half, 0]);
}

#[tokio::test]
async fn a_registrar_that_redirects_to_nobody_keeps_the_promises() {
    let bench = Bench::new().await;
    bench.registrar.spoil_next_download(DownloadFault::EndAfter(5000));
    keeps_the_promises(&bench, &mut bench.peer_source()).await;
}

#[tokio::test]
async fn a_peer_keeps_the_promises() {
    let bench = Bench::new().await;
    let peer = StubPeer::sends(bench.bytes.clone()).await;
    bench.registrar.send_to_peer(peer.url());
    keeps_the_promises(&bench, &mut bench.peer_source()).await;
    assert_eq!(peer.offsets(), [0, bench.bytes.len() / 2, 0]);
    assert_eq!(bench.registrar.offsets(), [0; 0]);
}

#[tokio::test]
async fn a_flaky_source_keeps_the_promises() {
    let bench = Bench::new().await;
    let faults = [Fault::Unavailable, Fault::Ends(5000), Fault::Breaks(100_000)];
    let mut flaky = bench.flaky(faults);
    keeps_the_promises(&bench, &mut flaky).await;
    assert_eq!(flaky.asked_at[..4], [0, 0, 5000, 105_000]);
}

#[tokio::test]
async fn what_one_leaves_the_next_goes_on_with_and_no_further_is_asked() {
    let bench = Bench::new().await;
    let (mut none, mut some) = (bench.flaky([Fault::Unavailable]), bench.flaky([Fault::Ends(5000)]));
    let (mut all, mut spare) = (bench.flaky([]), bench.flaky([]));
    fetch_verified(&mut [&mut none, &mut some, &mut all, &mut spare], &bench.file()).await.unwrap();
    assert_eq!(
        [none.asked_at, some.asked_at, all.asked_at, spare.asked_at],
        [vec![0], vec![0], vec![5000], vec![]]
    );
    assert_eq!(std::fs::read(bench.file().path()).unwrap(), bench.bytes);
}

#[tokio::test]
async fn one_that_is_to_blame_is_not_asked_again_and_those_before_it_neither() {
    let bench = Bench::new().await;
    let (mut before, mut wrong) = (bench.flaky([Fault::Ends(5000)]), bench.flaky([Fault::Damages]));
    let mut right = bench.flaky([]);
    fetch_verified(&mut [&mut before, &mut wrong, &mut right], &bench.file()).await.unwrap();
    assert_eq!([before.asked_at, wrong.asked_at, right.asked_at], [vec![0], vec![5000], vec![0]]);
}

#[tokio::test]
async fn a_file_that_stays_damaged_is_removed_and_said_to_be() {
    let bench = Bench::new().await;
    let (mut first, mut second) = (bench.flaky([Fault::Damages]), bench.flaky([Fault::Damages]));
    let error = fetch_verified(&mut [&mut first, &mut second], &bench.file()).await.unwrap_err();
    assert!(matches!(error, FetchError::Damaged { .. }), "{error}");
    assert!(!bench.file().exists());
}

#[tokio::test]
async fn where_no_source_has_it_what_came_is_kept() {
    let bench = Bench::new().await;
    let (mut first, mut second) = (bench.flaky([Fault::Ends(5000)]), bench.flaky([Fault::Unavailable]));
    let error = fetch_verified(&mut [&mut first, &mut second], &bench.file()).await.unwrap_err();
    assert!(matches!(error, FetchError::Broken { at_bytes: 5000, .. }), "{error}");
    let mut broken = bench.flaky([Fault::Breaks(100)]);
    let error = fetch_verified(&mut [&mut broken, &mut second], &bench.file()).await.unwrap_err();
    assert!(matches!(error, FetchError::Broken { at_bytes: 5100, .. }), "{error}");
    assert_eq!(second.asked_at, [5000], "asked although the one before failed");
}

/// Whatever goes wrong in whatever order: what is handed out is what was announced.
#[tokio::test]
async fn nothing_but_the_announced_bytes_is_handed_out() {
    let bench = Bench::new().await;
    let mut handed_out = 0;
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut faults = || -> Vec<Fault> {
            let fault = |random: &mut fastrand::Rng| match random.u8(..4) {
                0 => Fault::Unavailable,
                1 => Fault::Ends(random.usize(..400_000)),
                2 => Fault::Breaks(random.usize(..400_000)),
                _ => Fault::Damages,
            };
            (0..random.usize(..3)).map(|_| fault(&mut random)).collect()
        };
        let mut sources = [bench.flaky(faults()), bench.flaky(faults()), bench.flaky(faults())];
        let [first, second, third] = &mut sources;
        if fetch_verified(&mut [first, second, third], &bench.file()).await.is_ok() {
            assert_eq!(std::fs::read(bench.file().path()).unwrap(), bench.bytes, "seed {seed}");
            std::fs::remove_file(bench.file().path()).unwrap();
            handed_out += 1;
        }
    }
    assert!((20..200).contains(&handed_out), "{handed_out}");
}
